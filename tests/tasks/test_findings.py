"""What the report says of its numbers: verdicts follow the figures, and change with them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from models.intervals import Interval, wilson
from tasks import class_findings, clip_findings, findings, training_findings
from tasks.comparisons import apart, difference, excludes_zero, joint_confidence, mean_of, median_interval
from tasks.evidence import THE_SOURCE, Evidence, Json, read_evidence
from tasks.gate import with_gate
from tasks.variants import Variant
from tasks.verdicts import sign_verdict
from tasks.wording import chance, count, duration, escape, listed, number, number_interval, percent_interval
from tests.tasks.report_workspace import build_workspace


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    params = build_workspace()
    return with_gate(read_evidence(params.variants), params.report.gate)


def with_train(evidence: Evidence, **values: object) -> Evidence:
    course, *others = evidence.variants
    return replace(evidence, variants=(replace(course, train={**course.train, **values}), *others))


def with_snapshots(evidence: Evidence, *losses: float) -> Evidence:
    entries = [{"step": step, "val_loss": loss, "file": "x"} for step, loss in enumerate(losses)]
    others = [{"step": 1, "val_loss": 0.3, "file": "x"}, {"step": 2, "val_loss": 0.109, "file": "x"}]
    first, *rest = with_train(evidence, snapshots=entries).variants
    rest = [replace(variant, train={**variant.train, "snapshots": others}) for variant in rest]
    return replace(evidence, variants=(first, *rest))


def with_scorer(evidence: Evidence, source: str, passed: bool, **values: object) -> Evidence:
    gate = {**evidence.scorer["gate"], "passed": passed}
    return replace(evidence, scorer={**evidence.scorer, "source": source, "gate": gate, **values})


def with_blurry(evidence: Evidence, shares: dict[str, float]) -> Evidence:
    """The evidence with other blurry shares in every variant, and equal ones in real images."""

    def block(clip: Json, changes: dict[str, float]) -> dict[str, Any]:
        classes = {
            slug: {**figures, "blurry": {"value": share, "low": share - 0.02, "high": share + 0.02}}
            for slug, figures in clip["per_class"].items()
            for share in [changes.get(slug, 0.5)]
        }
        return {**clip, "per_class": classes}

    variants = tuple(replace(v, score=block(v.score, shares)) for v in evidence.variants)
    rows = {key: {**row, "clip": block(row["clip"], {})} for key, row in evidence.references["rows"].items()}
    return replace(evidence, variants=variants, references={**evidence.references, "rows": rows})


def test_difference_is_newcombes_hybrid_score_interval() -> None:
    # Newcombe (1998), example (a), method 10: 56/70 - 48/80 = 0.2 (0.0524 to 0.3339)
    gap = difference(wilson(56, 70, 0.95), wilson(48, 80, 0.95))
    assert (round(gap.value, 4), round(gap.low, 4), round(gap.high, 4)) == (0.2, 0.0524, 0.3339)
    assert excludes_zero(gap)


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
    assert escape("a signal-to-noise ratio of 0.571") in found.text  # 0.3636 / (1 - 0.3636)


def test_without_the_source_variant_its_claims_are_left_out(evidence: Evidence) -> None:
    others = replace(evidence, variants=evidence.variants[1:])
    assert findings.schedule_finding(others) is None
    assert findings.loss_finding(others, 0.95) is None
    assert findings.loss_quality_finding(others) is None


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (1.2, 0.107, "confirmed"),
        (1.2, 0.1095, "confirmed"),
        (1.2, 0.1100, "not answered"),
        (1.2, 0.1115, "confirmed in part"),
        (1.2, 0.1052, "not answered"),
        (1.2, 0.2, "confirmed in part"),
        (0.9, 0.107, "confirmed in part"),
        (1.2, 0.09, "confirmed in part"),
        (1.2, 1.3, "refuted"),
    ],
)
def test_loss_verdict_follows_the_loss_of_a_full_training(
    evidence: Evidence, first: float, last: float, verdict: str
) -> None:
    """A standard error of 0.0004 with 24 degrees of freedom reaches 0.0004 * 2.064 = 0.00083 to each side."""
    full = {"train_loss_first": first, "train_loss_final": last, "images": 5 * 55_000}
    found = findings.loss_finding(with_train(evidence, **full), 0.95)
    assert found is not None
    assert found.verdict == verdict
    assert escape(number(last)) in found.text


def test_where_a_loss_ends_has_students_interval(evidence: Evidence) -> None:
    # t of 24 degrees of freedom, two-sided at 95 %: 2.0639, from the published table
    (course, *_) = with_train(evidence, train_loss_final_error=0.001, train_loss_final_degrees=24).variants
    found = findings.final_loss(course, 0.95)
    assert (found.low, found.high) == pytest.approx((0.107 - 0.0020639, 0.107 + 0.0020639), abs=1e-7)


def test_a_loss_that_a_single_row_tells_of_has_no_verdict_and_no_interval(evidence: Evidence) -> None:
    full = {"images": 5 * 55_000, "train_loss_final_error": 0.0, "train_loss_final_degrees": 0}
    found = findings.loss_finding(with_train(evidence, **full), 0.95)
    assert found is not None
    assert found.verdict == "not answered"
    assert escape("0.107 over the last tenth of the steps") in found.text
    assert escape("reaches over an end") in found.text


def test_a_short_training_does_not_answer_where_the_loss_ends_but_shows_it(evidence: Evidence) -> None:
    short = {"train_loss_first": 1.2, "train_loss_final": 0.107, "images": 5 * 55_000 - 1}
    found = findings.loss_finding(with_train(evidence, **short), 0.95)
    assert found is not None
    assert found.verdict == "not answered"
    assert escape("0.107 (0.106 to 0.108) over the last tenth of the steps") in found.text
    assert escape("Fewer than 5 epochs") in found.text


@pytest.mark.parametrize(
    ("last", "before", "verdict"),
    [(0.12, 0.115, "not answered"), (0.12, 0.1095, "confirmed in part"), (0.107, 0.115, "confirmed")],
)
def test_a_loss_that_still_falls_to_where_the_source_ends_answers_nothing(
    evidence: Evidence, last: float, before: float, verdict: str
) -> None:
    """From the last snapshot but one, ``before``, to 0.109 the validation loss falls by 5 %, or by half of one."""
    full = {"train_loss_first": 1.2, "train_loss_final": last, "images": 5 * 55_000}
    found = findings.loss_finding(with_train(with_snapshots(evidence, 0.5, before, 0.109), **full), 0.95)
    assert found is not None
    assert found.verdict == verdict
    assert ("still fell" in found.text) == (verdict == "not answered")


@pytest.mark.parametrize(("first", "verdict"), [(0.5, "confirmed"), (0.05, "refuted")])
def test_validation_verdict_follows_the_snapshots(evidence: Evidence, first: float, verdict: str) -> None:
    found = findings.validation_finding(with_snapshots(evidence, first, 0.109))
    assert found.verdict == verdict
    assert escape("these figures have no interval") in found.text


def test_a_validation_loss_seen_once_has_not_fallen(evidence: Evidence) -> None:
    found = findings.validation_finding(with_snapshots(evidence, 0.5))
    assert found.verdict == "not answered"
    assert escape("A single snapshot shows no change.") in found.text


def test_a_model_that_was_taught_to_jump_has_no_validation_loss(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    jumping = replace(flagship.spec.sampling, jump_steps=2)
    training = replace(flagship.spec.training, distil_steps=10, distilled=jumping)
    student = replace(flagship.spec, title="Student", training=training, sampling=jumping)
    taught = replace(flagship, spec=student)
    told = findings.validation_finding(replace(evidence, variants=(course, flagship, taught))).text
    assert escape("Flagship: ") in told
    assert "Student" not in told


def test_validation_losses_are_of_as_many_images_as_there_are(evidence: Evidence) -> None:
    few = replace(evidence, prepare={**evidence.prepare, "counts": {"train": [60] * 10, "val": [40] * 10}})
    assert escape("on 400 images") in findings.validation_finding(few).text
    asked = evidence.variants[0].spec.training.validation_images
    assert escape(f"on {count(asked)} images") in findings.validation_finding(evidence).text


def test_median_interval_leaves_the_binomial_tails_outside() -> None:
    # n = 10: P(at most 1 of 10) = 11/1024, twice that is 2.1 % < 5 %; with 2 of 10 it is 10.9 %
    found = median_interval([float(rank) for rank in range(1, 11)], 0.95)
    assert (found.value, found.low, found.high) == (5.0, 2.0, 9.0)
    assert median_interval([1.0] * 5, 0.95).high == math.inf


@pytest.mark.parametrize(("loss", "verdict"), [(0.110, "refuted"), (0.111, "not answered")])
def test_a_low_loss_is_judged_only_where_it_is_low(evidence: Evidence, loss: float, verdict: str) -> None:
    found = findings.loss_quality_finding(with_train(evidence, val_loss_final=loss))
    assert found is not None
    assert found.verdict == verdict


def followed(hits: dict[str, tuple[list[int], list[int]]]) -> pd.DataFrame:
    """Which images are recognised before the training and after it, by variant."""
    rows = [
        {"variant": name, "along": "training", "position": step, "image": image, "guess": seen}
        for name, looks in hits.items()
        for step, answers in zip((0, 500), looks, strict=True)
        for image, seen in enumerate(answers)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([1] + [0] * 19, [1] * 20, "confirmed"),
        ([1] + [0] * 19, [1] * 3 + [0] * 17, "not answered"),
        ([0] * 14 + [1] * 6, [1] * 6 + [0] * 14, "not answered"),  # as many lost as won
        ([1] * 20, [1] + [0] * 19, "refuted"),
    ],
)
def test_training_verdict_counts_the_images_that_change_in_the_sources_system(
    evidence: Evidence, before: list[int], after: list[int], verdict: str
) -> None:
    table = followed({"course": (before, after), "flagship": ([0] * 20, [1] * 20)})
    found = training_findings.training_finding(evidence, table, 0.95)
    assert found.verdict == verdict
    assert bool(found.lacks) == (verdict == "not answered")


def test_a_training_is_tested_by_mcnemar(evidence: Evidence) -> None:
    table = followed({"course": ([1, 0, 0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 1, 1, 1])})
    change = training_findings.training_change(table, "course")
    assert (change.before, change.after, change.won, change.lost, change.images) == (2, 7, 6, 1, 8)
    assert change.p_value == pytest.approx(2 * (1 + 7) / 2**7)  # P(at most 1 of 7), twice
    assert escape("6 won and 1 lost (p\u00a0= 0.125)") in escape(change.text(0.95))


def test_what_the_guess_already_shows_is_told_of_models_that_have_one(evidence: Evidence) -> None:
    table = followed({"course": ([0] * 20, [0] * 20), "flagship": ([1] * 17 + [0] * 3, [1] * 20)})
    said = training_findings.head_start_text(evidence, table)
    assert said is not None
    assert escape("already has 17 of 20 samples of Flagship recognised") in said
    course = replace(evidence, variants=evidence.variants[:1])
    assert training_findings.head_start_text(course, table) is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.2, "confirmed"), (-0.1, 0.3, "not answered"), (-0.2, -0.1, "refuted"), (0.0, 0.1, "not answered")],
)
def test_a_difference_has_a_verdict_where_its_interval_excludes_zero(low: float, high: float, verdict: str) -> None:
    assert sign_verdict(Interval((low + high) / 2, low, high)) == verdict


def test_other_variants_change_no_verdict(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    worse = replace(flagship, train={**flagship.train, "val_loss_final": 9.0}, evaluate=course.evaluate)
    changed = replace(evidence, variants=(course, worse))
    alone = replace(evidence, variants=(course,))
    for make in (findings.validation_finding, lambda e: class_findings.shapes_finding(e, "critic")):
        assert len({make(build).verdict for build in (evidence, changed, alone)}) == 1


def test_without_the_sources_system_nothing_is_answered(evidence: Evidence) -> None:
    others = replace(with_scorer(evidence, "pretrained", True), variants=evidence.variants[1:])
    table = followed({"flagship": ([0] * 20, [1] * 20)})
    areas = pd.DataFrame(
        [("flagship", 30, 30, 0.9, 0.8, 0.95)], columns=["variant", "right", "wrong", "value", "low", "high"]
    )
    found = [
        findings.validation_finding(others),
        training_findings.training_finding(others, table, 0.95),
        class_findings.shapes_finding(others, "critic"),
        clip_findings.agreement_finding(others, areas),
    ]
    assert [(finding.verdict, finding.lacks) for finding in found] == [("not answered", THE_SOURCE)] * 4


def test_a_joint_confidence_shares_out_what_may_fail() -> None:
    assert joint_confidence(1, 0.95) == pytest.approx(0.95)
    assert joint_confidence(10, 0.95) == pytest.approx(0.995)


@pytest.mark.parametrize(
    ("source", "passed", "area", "verdict"),
    [
        ("pretrained", True, (0.93, 0.92, 0.94), "confirmed"),
        ("pretrained", True, (0.81, 0.79, 0.83), "not answered"),
        ("pretrained", False, (0.70, 0.68, 0.72), "refuted"),
        ("pretrained", False, (0.93, 0.92, 0.94), "not answered"),  # it fails to name classes
        ("fitted", True, (0.93, 0.92, 0.94), "not answered"),
        ("fitted", False, (0.70, 0.68, 0.72), "refuted"),
    ],
)
def test_clarity_verdict_follows_the_areas_unless_the_scorer_learnt_the_test(
    evidence: Evidence, source: str, passed: bool, area: tuple[float, float, float], verdict: str
) -> None:
    motion = dict(zip(("value", "low", "high"), area, strict=True))
    held_out = {**evidence.scorer["held_out"], "motion_blur": motion}
    found = clip_findings.gate_finding(with_scorer(evidence, source, passed, held_out=held_out))
    assert found.verdict == verdict
    assert escape(f"{area[0]:.3f} ({area[1]:.3f} to {area[2]:.3f}) under motion blur") in found.text


@pytest.mark.parametrize(
    ("areas", "source", "passed", "verdict"),
    [
        (((0.7, 0.6, 0.8), (0.6, 0.55, 0.65)), "pretrained", True, "confirmed"),
        (((0.7, 0.6, 0.8), (0.3, 0.25, 0.35)), "pretrained", True, "confirmed"),
        (((0.4, 0.3, 0.45), (0.5, 0.45, 0.55)), "pretrained", True, "refuted"),
        (((0.5, 0.45, 0.55), None), "pretrained", True, "not answered"),
        ((None, None), "pretrained", True, "not answered"),
        (((0.7, 0.6, 0.8), (0.6, 0.55, 0.65)), "pretrained", False, "not answered"),
        (((0.7, 0.6, 0.8), (0.6, 0.55, 0.65)), "fitted", True, "not answered"),
    ],
)
def test_agreement_verdict_follows_the_areas_of_a_scorer_that_passed(
    evidence: Evidence, areas: tuple[tuple[float, float, float] | None, ...], source: str, passed: bool, verdict: str
) -> None:
    rows = [(v.name, 3, 4, *(area or (None,) * 3)) for v, area in zip(evidence.variants, areas, strict=True)]
    table = pd.DataFrame(rows, columns=["variant", "right", "wrong", "value", "low", "high"])
    found = clip_findings.agreement_finding(with_scorer(evidence, source, passed), table)
    assert found.verdict == verdict
    assert found.text.count("below chance") == sum(area is not None and area[2] < 0.5 for area in areas)
    assert found.text.count("too few to rank") == sum(area is None for area in areas)
    assert found.text.count("3 recognised and 4 not") == sum(area is not None for area in areas)


def test_shapes_are_not_judged_by_a_scorer_that_failed(evidence: Evidence) -> None:
    passed, failed = (with_scorer(evidence, "pretrained", flag) for flag in (True, False))
    easy = with_blurry(passed, {"t-shirt": 0.1, "trouser": 0.1, "sneaker": 0.9})
    assert class_findings.shapes_finding(easy, "clip").verdict == "confirmed"
    easy = with_blurry(failed, {"t-shirt": 0.1, "trouser": 0.1, "sneaker": 0.9})
    assert class_findings.shapes_finding(easy, "clip").verdict == "not answered"
    by_critic = [class_findings.shapes_finding(build, "critic") for build in (passed, failed)]
    assert by_critic[0] == by_critic[1]


def test_models_at_chance_say_nothing_of_shapes(evidence: Evidence) -> None:
    def with_accuracy(low: float, *numbers: int) -> Evidence:
        found = {"accuracy": {"value": low + 0.02, "low": low, "high": low + 0.04}}
        changed = [replace(v, evaluate={**v.evaluate, **found}) if i in numbers else v for i, v in enumerate(models)]
        return replace(easy, variants=tuple(changed))

    passed = with_scorer(evidence, "pretrained", True)
    easy = with_blurry(passed, {"t-shirt": 0.1, "trouser": 0.1, "sneaker": 0.9})
    models = easy.variants
    guessing = class_findings.shapes_finding(with_accuracy(0.09, 0, 1), "clip")
    assert guessing.verdict == "not answered"
    assert escape("no more often than by luck: Course DDPM and Flagship.") in guessing.text
    one = class_findings.shapes_finding(with_accuracy(0.09, 0), "clip")
    assert (one.verdict, "samples of Course DDPM" in one.lacks) == ("not answered", True)
    assert escape("luck: Course DDPM.") in one.text
    other = class_findings.shapes_finding(with_accuracy(0.09, 1), "clip")
    assert other.verdict == "confirmed"
    above = class_findings.shapes_finding(with_accuracy(0.11, 0, 1), "clip")
    assert (above.verdict, "luck" in above.text) == ("confirmed", False)
    beginning = class_findings.unrecognised_text(with_accuracy(0.09, 0))
    assert beginning is not None
    assert beginning.startswith(escape("Samples of Course DDPM are recognised no more often than by luck, so claims"))
    assert class_findings.unrecognised_text(with_accuracy(0.11, 0, 1)) is None


def test_shapes_are_not_judged_by_a_scorer_that_was_fitted_here(evidence: Evidence) -> None:
    easy = with_blurry(with_scorer(evidence, "fitted", True), {"t-shirt": 0.1, "trouser": 0.1, "sneaker": 0.9})
    found = class_findings.shapes_finding(easy, "clip")
    assert found.verdict == "not answered"
    assert escape("fitted here") in found.text


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([5500] * 10, "5,500 images of every class, so no class is better represented"),
        ([5500] * 9 + [500], "500 to 5,500 images a class, which differ in more than their number"),
    ],
)
def test_balance_says_of_unequal_classes_that_they_are_unequal(
    evidence: Evidence, counts: list[int], said: str
) -> None:
    held = {**evidence.prepare["counts"], "train": counts}
    found = class_findings.balance_finding(replace(evidence, prepare={**evidence.prepare, "counts": held}))
    assert found.verdict == "not answered"
    assert escape(said) in found.text
    assert ("no class is better represented" in found.text) == (min(counts) == max(counts))


def test_extremes_name_the_classes_and_whether_they_are_resolved(evidence: Evidence) -> None:
    row = evidence.rows()[1]
    text = class_findings.extremes(row, "critic")
    assert "best Trouser" in text
    assert "worst Dress" in text
    assert "do not touch" in text
    block = {slug: {"accuracy": {"value": 0.5, "low": 0.1, "high": 0.9}} for slug in row.critic["per_class"]}
    level = replace(row, critic={**row.critic, "per_class": block})
    assert "all classes alike" in class_findings.extremes(level, "critic")
    block["bag"] = block["shirt"] = {"accuracy": {"value": 0.6, "low": 0.2, "high": 0.95}}
    level = replace(row, critic={**row.critic, "per_class": block})
    assert "not resolved" in class_findings.extremes(level, "critic")
    assert escape("best Shirt and Bag, ") in class_findings.extremes(level, "critic")


def test_no_sentence_lets_a_title_become_markup(evidence: Evidence) -> None:
    def renamed(spec: Variant) -> Variant:
        return replace(spec, title="**x** <b> $y$")

    hostile = replace(evidence, variants=tuple(replace(v, spec=renamed(v.spec)) for v in evidence.variants))
    for found in (findings.loss_finding(hostile, 0.95), findings.validation_finding(hostile)):
        assert found is not None
        assert r"\*\*x\*\* \<b\> \$y\$" in found.text


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (percent_interval(Interval(0.845, 0.821, 0.867)), "84.5\u00a0% (82.1 to 86.7)"),
        (number_interval(Interval(1.944, 1.85, 2.1)), "1.94 (1.85 to 2.10)"),
        (number_interval(Interval(-0.00012, -0.0003, 0.0001)), "\u22120.000120 (\u22120.000300 to 0.000100)"),
        (number_interval(Interval(0.99992, 0.99982, 0.99999)), "0.9999 (0.9998 to 1.0000)"),
        (number_interval(Interval(0.9999990, 0.9999967, 1.0)), "0.999999 (0.999997 to 1.000000)"),
        (number_interval(Interval(1.0, 0.93, 1.0)), "1.00 (0.93 to 1.00)"),
        (number_interval(Interval(1.0, 1.0, 1.0)), "1.00 (1.00 to 1.00)"),
        (number(0.107), "0.107"),
        (number(0.74), "0.740"),
        (number(314.0), "314"),
        (number(54321.0), "54,300"),
        (number(-0.2578), "\u22120.258"),
        (number(123456.0), "1.23e+05"),
        (count(64000.4), "64,000"),
        (duration(301.0), "5.0\u00a0min"),
        (chance(0.0004), "< 0.001"),
        (chance(0.0341), "= 0.034"),
        (listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_are_written_one_way(made: str, text: str) -> None:
    assert made == text
