"""Comparisons on shared images: that pairing is checked, that the sentences are computed, that judges are compared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from models.intervals import Interval, wilson
from tasks.agreement import agreement_table
from tasks.comparisons import difference
from tasks.errors import IntegrityError, MissingResourceError
from tasks.evidence import Evidence, read_evidence
from tasks.files import write_table
from tasks.model_findings import against_table, against_text, ranking_text
from tasks.pairing import Pairs, pair_table, read_pairs
from tasks.paths import artifact, table_file
from tasks.wording import escape
from tests.tasks.report_workspace import build_workspace
from tests.tasks.small_critic import EVALUATE
from tests.tasks.small_variants import SEED

FINE = replace(EVALUATE, bootstrap=1000)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judge(name: str, right: Sequence[bool], first_seed: int = 0) -> None:
    """Ten classes in turn; what is wrong is taken for the next class."""
    labels = np.arange(len(right)) % 10
    seeds = first_seed + np.arange(len(right))
    predicted = np.where(right, labels, (labels + 1) % 10)
    table = pd.DataFrame({"seed": seeds, "label": labels, "predicted": predicted, "probability": 0.5})
    write_table(artifact(name, "judgements.csv"), table)


def runs(*counts: tuple[bool, int]) -> list[bool]:
    return [value for value, count in counts for _ in range(count)]


def pairs_of(*names: str, asked: Sequence[str] = ()) -> Pairs:
    """All pairs, of which those in ``asked`` (two letters) were asked for."""
    write_table(table_file("paired"), pair_table(names, FINE, SEED))
    return read_pairs({frozenset(pair) for pair in asked})


def test_shared_images_are_compared_one_by_one() -> None:
    judge("a", runs((True, 70), (False, 30)))
    judge("b", runs((True, 60), (False, 20), (True, 5), (False, 15)))
    pair = pairs_of("a", "b").between("a", "b")
    assert pair.paired
    assert (pair.images, pair.only_first, pair.only_second) == (100, 10, 5)
    assert pair.difference == pytest.approx(0.05)
    assert pair.low < 0.05 < pair.high
    assert pair.p_value == pytest.approx(binomtest(5, 15).pvalue)


def test_a_comparison_can_be_read_from_either_side() -> None:
    judge("a", runs((True, 70), (False, 30)))
    judge("b", runs((True, 40), (False, 60)))
    found = pairs_of("a", "b")
    one, other = found.between("a", "b"), found.between("b", "a")
    assert other.gap == Interval(-one.difference, -one.high, -one.low)
    assert (other.first, other.only_first, other.only_second) == ("b", 0, 30)
    assert other.turned() == one


@pytest.mark.parametrize("first_seed", [1, 1000])
def test_other_seeds_make_it_unpaired_and_wider(first_seed: int) -> None:
    judge("a", runs((True, 700), (False, 300)))
    judge("b", runs((True, 680), (False, 320)))
    paired = pairs_of("a", "b").between("a", "b")
    judge("b", runs((True, 680), (False, 320)), first_seed)
    found = pairs_of("a", "b").between("a", "b")
    expected = difference(wilson(700, 1000, 0.95), wilson(680, 1000, 0.95))
    assert not found.paired
    assert (found.only_first, found.only_second, found.p_value) == (0, 0, 1.0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert paired.resolved(0.95)
    assert not found.resolved(0.95)


def test_other_classes_and_other_numbers_make_it_unpaired() -> None:
    judge("a", [True] * 20)
    judge("b", [True] * 30)
    assert not pairs_of("a", "b").between("a", "b").paired
    assert pairs_of("a", "b").between("b", "a").images == 20
    judge("b", [True] * 20)
    path = artifact("b", "judgements.csv")
    table = pd.read_csv(path)
    write_table(path, table.assign(label=table["label"].to_numpy()[::-1]))
    assert not pairs_of("a", "b").between("a", "b").paired


def test_models_that_agree_on_every_image_are_not_told_apart_and_not_certain() -> None:
    judge("a", runs((True, 50), (False, 50)))
    judge("b", runs((True, 50), (False, 50)))
    pair = pairs_of("a", "b").between("a", "b")
    assert (pair.difference, pair.p_value) == (0.0, 1.0)
    assert pair.low < -0.1
    assert pair.high > 0.1


def test_p_values_are_adjusted_for_the_number_of_pairs() -> None:
    judge("a", runs((True, 60), (False, 40)))
    judge("b", runs((True, 53), (False, 47)))
    judge("c", runs((True, 52), (False, 48)))
    alone = pairs_of("a", "b").between("a", "b").p_value
    found = pairs_of("a", "b", "c")
    assert len(found) == 3
    # 2 / 2^7 for b, 2 / 2^8 for c, 1 between them; Holm: 3 * 2/256, 2 * 2/128, 1
    assert alone == pytest.approx(2 / 128)
    assert found.between("a", "c").p_value == pytest.approx(6 / 256)
    assert found.between("a", "b").p_value == pytest.approx(4 / 128)
    assert found.between("b", "c").p_value == 1.0


def test_what_was_asked_for_is_adjusted_for_its_own_number_and_what_looking_found_for_all() -> None:
    for name, right in (("a", 60), ("b", 53), ("c", 52), ("d", 45)):
        judge(name, runs((True, right), (False, 100 - right)))
    found = pairs_of("a", "b", "c", "d", asked=("ca", "ab"))
    assert found.num_asked == 2
    assert (len(found), pairs_of("a", "b").num_asked) == (6, 0)
    # two-sided p is 2 / 2^n where n images are right for one alone: 8 and 7 of those asked for
    assert found.between("a", "c").p_value == pytest.approx(2 * 2 / 2**8)
    assert found.between("a", "b").p_value == pytest.approx(2 / 2**7)
    # 15, 8, 8, 7, 7 and 1 of all, in this order times 6, 5, 4, 3, 2, 1 and never less than the one before
    assert found.between("a", "d").p_value == pytest.approx(6 * 2 / 2**15)
    assert found.between("b", "d").p_value == pytest.approx(5 * 2 / 2**8)
    assert found.between("d", "c").p_value == pytest.approx(3 * 2 / 2**7)
    assert found.between("b", "c").p_value == 1.0


def test_the_interval_does_not_depend_on_what_else_is_compared() -> None:
    for name, right in (("a", 60), ("b", 53), ("c", 52)):
        judge(name, runs((True, right), (False, 100 - right)))
    few, many = pairs_of("a", "b").between("a", "b"), pairs_of("c", "a", "b").between("a", "b")
    assert few.gap == many.gap


def test_a_single_variant_has_no_comparison() -> None:
    judge("a", [True] * 20)
    assert len(pairs_of("a")) == 0


def test_missing_and_damaged_judgements_are_named() -> None:
    judge("a", [True] * 20)
    with pytest.raises(MissingResourceError, match=r"^artifacts/b/judgements\.csv: is missing"):
        pair_table(("a", "b"), FINE, SEED)
    write_table(artifact("b", "judgements.csv"), pd.DataFrame({"seed": [1], "label": [0], "predicted": [0]}))
    with pytest.raises(IntegrityError, match=r"^artifacts/b/judgements\.csv: lacks a column; expected .*probability"):
        pair_table(("a", "b"), FINE, SEED)


def compared(**right: Sequence[bool]) -> tuple[Evidence, Pairs]:
    """The invented build with these judgements of its variants, the accuracies in its metrics included."""
    params = build_workspace()
    for name, answers in right.items():
        judge(name, answers)
    pairs = pairs_of(*params.variants)
    evidence = read_evidence(params.variants)
    variants = tuple(
        replace(v, evaluate={**v.evaluate, "accuracy": wilson(sum(right[v.name]), len(right[v.name]), 0.95).to_json()})
        for v in evidence.variants
    )
    return replace(evidence, variants=variants), pairs


def test_the_sentence_on_a_resolved_difference() -> None:
    evidence, pairs = compared(course=runs((True, 20), (False, 100)), flagship=runs((True, 100), (False, 20)))
    text = against_text(evidence, pairs, 0.95)
    assert text is not None
    assert escape("Of 120 shared seeds, Flagship alone is right on 80 and Course DDPM alone on 0: +66.7 points") in text
    assert text.endswith(escape("of class accuracy for Flagship (p < 0.001), resolved."))
    table = against_table(evidence, pairs)
    assert "| Less Course DDPM | Only it right | Only Course DDPM right | p |" in table
    assert r"| 80 | 0 | \< 0\.001 |" in table
    ranking = ranking_text(evidence, pairs, 0.95).replace("\\", "")
    assert ranking.startswith("The classifier takes 83.3")
    assert "of Flagship\u2019s samples and 16.7" in ranking
    assert "Flagship leads Course DDPM by 66.7 points" in ranking


def test_the_sentence_on_a_difference_within_chance() -> None:
    right = runs((True, 58), (False, 2), (True, 3), (False, 57))
    evidence, pairs = compared(course=right, flagship=runs((True, 60), (False, 60)))
    text = against_text(evidence, pairs, 0.95)
    assert text is not None
    assert escape("(p = 1.000), not resolved.") in text
    ranking = ranking_text(evidence, pairs, 0.95).replace("\\", "")
    assert "Which of Course DDPM and Flagship is better is not resolved: 0.8 points" in ranking
    assert "leads" not in ranking


def test_the_sentence_on_unpaired_models_says_so() -> None:
    evidence, _ = compared(course=runs((True, 20), (False, 100)), flagship=runs((True, 100), (False, 20)))
    judge("flagship", runs((True, 100), (False, 20)), first_seed=7)
    unpaired = pairs_of(*(variant.name for variant in evidence.variants))
    text = against_text(evidence, unpaired, 0.95)
    assert text is not None
    assert escape("resolved; seeds or classes differ, so the comparison is between independent images") in text
    assert "| unpaired | unpaired | no test |" in against_table(evidence, unpaired)


def test_without_the_baseline_or_another_model_there_is_nothing_to_compare_with() -> None:
    evidence, pairs = compared(course=[True] * 120, flagship=[True] * 120)
    for kept in evidence.variants:
        assert against_text(replace(evidence, variants=(kept,)), pairs, 0.95) is None
    alone = ranking_text(replace(evidence, variants=evidence.variants[:1]), pairs, 0.95)
    assert alone.startswith(escape("The classifier takes 100.0"))
    assert escape("of Course DDPM's samples for the garment asked for") in alone


def test_titles_stay_text_in_sentences_and_tables() -> None:
    evidence, pairs = compared(course=[True] * 120, flagship=[False] * 120)
    renamed = [replace(v, spec=replace(v.spec, title="**x** <b> $y$")) for v in evidence.variants]
    hostile = replace(evidence, variants=tuple(renamed))
    text = against_text(hostile, pairs, 0.95)
    for shown in (text, ranking_text(hostile, pairs, 0.95), against_table(hostile, pairs)):
        assert r"\*\*x\*\* \<b\> \$y\$" in (shown or "")


def score(name: str, blurry: Sequence[float], first_seed: int = 0) -> None:
    seeds = first_seed + np.arange(len(blurry))
    labels = np.arange(len(blurry)) % 10
    write_table(artifact(name, "scores.csv"), pd.DataFrame({"seed": seeds, "label": labels, "blurry": blurry}))


def test_judges_agree_where_recognised_samples_score_higher_within_their_class() -> None:
    right = runs((True, 60), (False, 60))
    noise = np.random.default_rng(0).random(120)
    judge("a", right)
    score("a", 0.8 - 0.7 * np.array(right) + 0.1 * noise)
    judge("b", right)
    score("b", noise)
    agreed, unrelated = agreement_table(("a", "b"), FINE, SEED).to_dict("records")
    assert (agreed["right"], agreed["wrong"], agreed["value"], agreed["high"]) == (60, 60, 1.0, 1.0)
    assert 0.9 < agreed["low"] < 1.0
    assert unrelated["low"] < 0.5 < unrelated["high"]


def test_a_class_that_is_both_clearer_and_easier_is_no_agreement() -> None:
    labels = np.arange(200) % 10
    right = (labels < 5) & (np.arange(200) >= 20) | (np.arange(200) >= 180)
    judge("a", right.tolist())
    score("a", np.where(labels < 5, 0.1, 0.9))
    (row,) = agreement_table(("a",), FINE, SEED).to_dict("records")
    assert row["value"] == 0.5  # every pair of one class is a tie
    assert row["low"] < 0.5 < row["high"]


def test_samples_that_are_all_recognised_are_too_few_to_rank() -> None:
    judge("a", [True] * 20)
    score("a", [0.1] * 20)
    (row,) = agreement_table(("a",), FINE, SEED).to_dict("records")
    assert (row["right"], row["wrong"], row["value"]) == (0, 0, None)


def test_a_class_with_a_single_wrong_sample_does_not_count() -> None:
    """Every class has ten samples: in the first two classes five are wrong, in the third one."""
    labels, rank = np.arange(100) % 10, np.arange(100) // 10
    right = ~(((labels < 2) & (rank < 5)) | ((labels == 2) & (rank == 0)))
    judge("a", right.tolist())
    blurry = np.where(right, 0.2, 0.8) + 0.01 * rank
    score("a", np.where(labels == 2, 1.0 - blurry, blurry))  # the third class would speak against
    (row,) = agreement_table(("a",), FINE, SEED).to_dict("records")
    assert (row["right"], row["wrong"], row["value"]) == (10, 10, 1.0)
    assert row["low"] < 1.0


@pytest.mark.parametrize(("wrong", "ranked"), [((5, 5), True), ((5, 4), False), ((9, 1), False)])
def test_fewer_than_ten_of_either_kind_are_not_ranked(wrong: tuple[int, int], ranked: bool) -> None:
    labels, rank = np.arange(200) % 10, np.arange(200) // 10
    right = ~(((labels == 0) & (rank < wrong[0])) | ((labels == 1) & (rank < wrong[1])))
    judge("a", right.tolist())
    score("a", np.random.default_rng(0).random(200))
    (row,) = agreement_table(("a",), FINE, SEED).to_dict("records")
    assert (row["value"] is not None and not np.isnan(row["value"])) == ranked


def test_scores_of_other_samples_are_refused() -> None:
    judge("a", [True] * 20)
    score("a", [0.1] * 20, first_seed=1)
    with pytest.raises(IntegrityError, match=r"^artifacts/a/scores\.csv: is of other samples"):
        agreement_table(("a",), FINE, SEED)
