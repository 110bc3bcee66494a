"""What the report says of its numbers: verdicts follow the figures, and change with them."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binomtest

from models.intervals import Interval
from tasks import class_findings, findings
from tasks.comparisons import apart, difference, excludes_zero, mean_of, median_interval, widened, wilson
from tasks.config import Variant
from tasks.evidence import Evidence, read_evidence
from tasks.verdicts import Finding, joint_verdict
from tasks.wording import count, duration, escape, listed, number, number_interval, percent_interval
from tests.tasks.report_workspace import build_workspace


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def with_train(evidence: Evidence, **values: object) -> Evidence:
    course, *others = evidence.variants
    return replace(evidence, variants=(replace(course, train={**course.train, **values}), *others))


def paths_table(settle: list[float]) -> pd.DataFrame:
    """Ten positions along the course's reverse process, each image recognised from its own position on."""
    positions = [0.1 * step for step in range(11)]
    rows = [
        {
            "variant": "course",
            "along": "reverse",
            "position": p,
            "image": i,
            "noisy": 0,
            "guess": int(p >= start - 1e-9),
        }
        for i, start in enumerate(settle)
        for p in positions
    ]
    return pd.DataFrame(rows)


def test_difference_is_newcombes_hybrid_score_interval() -> None:
    # Newcombe (1998), example (a), method 10: 56/70 - 48/80 = 0.2 (0.0524 to 0.3339)
    gap = difference(wilson(56, 70, 1.959964), wilson(48, 80, 1.959964))
    assert (round(gap.value, 4), round(gap.low, 4), round(gap.high, 4)) == (0.2, 0.0524, 0.3339)
    assert excludes_zero(gap)


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (7, 10), (10, 10), (431, 1000)])
def test_wilson_agrees_with_scipy(hits: int, total: int) -> None:
    expected = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    found = wilson(hits, total, 1.959963984540054)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_mean_of_equal_intervals_narrows_with_their_number() -> None:
    mean = mean_of([Interval(0.5, 0.4, 0.7)] * 4)
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.5, 0.45, 0.6))


def test_touching_intervals_are_not_apart() -> None:
    assert not apart(Interval(0.5, 0.4, 0.6), Interval(0.7, 0.6, 0.8))
    assert apart(Interval(0.5, 0.4, 0.59), Interval(0.7, 0.6, 0.8))


def test_schedule_claim_is_refuted_by_the_courses_betas(evidence: Evidence) -> None:
    found = findings.schedule_finding(evidence)
    assert found is not None
    assert found.verdict == "refuted"
    assert escape("60.3\u00a0%") in found.text
    assert escape("abar_T = 0.364") in found.text


def test_without_the_source_variant_its_claims_are_left_out(evidence: Evidence) -> None:
    others = replace(evidence, variants=evidence.variants[1:])
    assert findings.schedule_finding(others) is None
    assert findings.loss_finding(others) is None
    assert findings.loss_quality_finding(others, 0.95) is None


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (1.2, 0.107, "confirmed"),
        (1.2, 0.2, "confirmed in part"),
        (0.9, 0.1, "confirmed in part"),
        (1.2, 1.3, "refuted"),
    ],
)
def test_loss_verdict_follows_the_loss(evidence: Evidence, first: float, last: float, verdict: str) -> None:
    found = findings.loss_finding(with_train(evidence, train_loss_first=first, train_loss_final=last))
    assert found is not None
    assert found.verdict == verdict
    assert escape(number(last)) in found.text


@pytest.mark.parametrize(("first", "verdict"), [(0.5, "confirmed in part"), (0.05, "refuted")])
def test_validation_verdict_follows_the_snapshots(evidence: Evidence, first: float, verdict: str) -> None:
    snapshot = {"step": 1, "val_loss": first, "file": "x"}
    assert findings.validation_finding(with_train(evidence, snapshots=[snapshot])).verdict == verdict


@pytest.mark.parametrize(
    ("settle", "verdict"),
    [
        ([0.5] * 3 + [0.6] * 4 + [0.7] * 3, "confirmed"),
        ([0.1] * 9 + [0.7], "refuted"),
        ([0.9] * 10, "refuted"),
        ([0.1] * 4 + [0.6] * 6, "not answered"),
        ([0.6] * 4 + [2.0] * 6, "not answered"),
        ([0.6] * 3, "not answered"),
    ],
)
def test_steps_verdict_follows_the_interval_of_the_median_image(
    evidence: Evidence, settle: list[float], verdict: str
) -> None:
    assert findings.steps_finding(evidence, paths_table(settle), 0.95).verdict == verdict


def test_median_interval_leaves_the_binomial_tails_outside() -> None:
    # n = 10: P(at most 1 of 10) = 11/1024, twice that is 2.1 % < 5 %; with 2 of 10 it is 10.9 %
    found = median_interval([float(rank) for rank in range(1, 11)], 0.95)
    assert (found.value, found.low, found.high) == (5.0, 2.0, 9.0)
    assert median_interval([1.0] * 5, 0.95).high == math.inf


def test_answers_that_all_agree_get_wilsons_interval() -> None:
    none = widened(Interval(0.0, 0.0, 0.0), 12, 0.95)
    assert none.high == pytest.approx(binomtest(0, 12).proportion_ci(0.95, method="wilson").high)
    assert widened(Interval(0.5, 0.4, 0.6), 12, 0.95) == Interval(0.5, 0.4, 0.6)


@pytest.mark.parametrize(("loss", "verdict"), [(0.109, "refuted"), (0.3, "not answered")])
def test_a_low_loss_is_judged_only_where_it_is_low(evidence: Evidence, loss: float, verdict: str) -> None:
    found = findings.loss_quality_finding(with_train(evidence, val_loss_final=loss), 0.95)
    assert found is not None
    assert found.verdict == verdict


@pytest.mark.parametrize(("after", "verdict"), [(20, "confirmed"), (3, "not answered")])
def test_training_verdict_needs_a_resolved_gain(evidence: Evidence, after: int, verdict: str) -> None:
    rows = [
        {"variant": variant.name, "along": "training", "position": step, "image": image, "guess": int(image < hits)}
        for variant in evidence.variants
        for step, hits in ((0, 1), (500, after))
        for image in range(20)
    ]
    assert findings.training_finding(evidence, pd.DataFrame(rows), 0.95).verdict == verdict


@pytest.mark.parametrize(
    ("nets", "verdict"),
    [
        ([(0.1, 0.2), (0.05, 0.3)], "confirmed"),
        ([(0.1, 0.2), (-0.1, 0.3)], "confirmed in part"),
        ([(-0.2, -0.1), (-0.1, 0.3)], "refuted"),
        ([(-0.2, 0.1), (-0.1, 0.3)], "not answered"),
    ],
)
def test_joint_verdict_needs_resolved_differences(nets: list[tuple[float, float]], verdict: str) -> None:
    assert joint_verdict([Interval((low + high) / 2, low, high) for low, high in nets]) == verdict


@pytest.mark.parametrize(
    ("source", "passed", "verdict"),
    [
        ("pretrained", True, "confirmed"),
        ("pretrained", False, "refuted"),
        ("fitted", True, "not answered"),
        ("fitted", False, "refuted"),
    ],
)
def test_gate_verdict_is_the_scorers_unless_it_learnt_the_test(
    evidence: Evidence, source: str, passed: bool, verdict: str
) -> None:
    scorer = {**evidence.scorer, "source": source, "gate": {**evidence.scorer["gate"], "passed": passed}}
    assert findings.gate_finding(replace(evidence, scorer=scorer)).verdict == verdict


def test_extremes_name_the_classes_and_whether_they_are_resolved(evidence: Evidence) -> None:
    row = evidence.rows()[1]
    text = class_findings.extremes(row, "critic", 0.95)
    assert "best Trouser" in text
    assert "worst Dress" in text
    assert "do not touch" in text
    block = {slug: {"accuracy": {"value": 0.5, "low": 0.1, "high": 0.9}} for slug in row.critic["per_class"]}
    level = replace(row, critic={**row.critic, "per_class": block})
    assert "all classes alike" in class_findings.extremes(level, "critic", 0.95)
    block["bag"] = {"accuracy": {"value": 0.6, "low": 0.2, "high": 0.95}}
    level = replace(row, critic={**row.critic, "per_class": block})
    assert "not resolved" in class_findings.extremes(level, "critic", 0.95)


def test_no_sentence_lets_a_title_become_markup(evidence: Evidence) -> None:
    def renamed(spec: Variant) -> Variant:
        return replace(spec, title="**x** <b> $y$")

    hostile = replace(evidence, variants=tuple(replace(v, spec=renamed(v.spec)) for v in evidence.variants))
    makers: list[Callable[[Evidence], Finding | None]] = [findings.loss_finding, findings.validation_finding]
    texts = [found.text for make in makers if (found := make(hostile))]
    for text in (*texts, class_findings.ranking_text(hostile, 0.95)):
        assert r"\*\*x\*\* \<b\> \$y\$" in text


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (percent_interval(Interval(0.845, 0.821, 0.867)), "84.5\u00a0% (82.1 to 86.7)"),
        (number_interval(Interval(1.944, 1.85, 2.1)), "1.94 (1.85 to 2.10)"),
        (number_interval(Interval(-0.00012, -0.0003, 0.0001)), "\u22120.000120 (\u22120.000300 to 0.000100)"),
        (number(0.107), "0.107"),
        (number(0.74), "0.740"),
        (number(314.0), "314"),
        (number(54321.0), "54,300"),
        (number(-0.2578), "\u22120.258"),
        (number(123456.0), "1.23e+05"),
        (count(64000.4), "64,000"),
        (duration(301.0), "5.0\u00a0min"),
        (listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_are_written_one_way(made: str, text: str) -> None:
    assert made == text
