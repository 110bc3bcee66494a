"""Variants that differ in one thing alone are compared with each other, in words that the report prints."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.evidence import Evidence, read_evidence
from tasks.experiments import (
    EXPERIMENTS,
    asked,
    confounded,
    contrasts,
    experiment_text,
    is_answered,
    reaches_noise,
)
from tasks.pairing import Pair, Pairs
from tasks.sweep_findings import steps_sentences
from tasks.variants import Variant
from tests.tasks.report_workspace import build_workspace


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def with_course(evidence: Evidence, name: str, **process: float) -> Evidence:
    """The build with one more variant: the course's, with other betas."""

    def change(spec: Variant) -> Variant:
        return replace(spec, title=name.capitalize(), process=replace(spec.process, **process))

    return with_variant(evidence, 0, name, change)


def with_variant(evidence: Evidence, model: int, name: str, change: Callable[[Variant], Variant]) -> Evidence:
    variant = evidence.variants[model]
    added = replace(variant, name=name, spec=change(variant.spec))
    return replace(evidence, variants=(*evidence.variants, added))


def names(evidence: Evidence, key: str) -> list[tuple[str, str]]:
    return [(changed.name, other.name) for changed, other in contrasts(key, evidence)]


def test_a_repair_is_named_before_what_it_repairs_whatever_their_order(evidence: Evidence) -> None:
    repaired = with_course(evidence, "whole", beta_end=0.2)
    assert names(repaired, "repair") == [("whole", "course")]
    turned = replace(repaired, variants=repaired.variants[::-1])
    assert names(turned, "repair") == [("whole", "course")]


def test_how_often_a_training_is_looked_at_tells_no_two_variants_apart(evidence: Evidence) -> None:
    def watched(spec: Variant) -> Variant:
        training = replace(spec.training, log_every=spec.training.log_every + 1, validate_every=7)
        return replace(spec, title="Watched", process=replace(spec.process, beta_end=0.2), training=training)

    assert names(with_variant(evidence, 0, "watched", watched), "repair") == [("watched", "course")]


@pytest.mark.parametrize("betas", [(0.01,), (0.2, 0.15)])
def test_other_betas_are_a_repair_only_where_one_schedule_of_two_reaches_noise(
    evidence: Evidence, betas: tuple[float, ...]
) -> None:
    """abar_T is 0.60 with beta_T = 0.01: farther from noise than the course's 0.36. With 0.2 and 0.15 both reach it."""
    build = evidence
    for beta in betas:
        build = with_course(build, f"beta{int(100 * beta)}", beta_end=beta)
    added = replace(build, variants=build.variants[2:])
    assert names(added, "repair") == []
    assert reaches_noise(added, added.variants[0]) is (betas[0] >= 0.2)


@pytest.mark.parametrize("stage", ["train", "sample"])
def test_variants_that_were_computed_differently_are_not_compared(stage: str, evidence: Evidence) -> None:
    repaired = with_course(evidence, "whole", beta_end=0.2)
    *others, whole = repaired.variants
    rounded = {**getattr(whole, stage), "environment": {"device": "cpu", "precision": "bfloat16"}}
    mixed = replace(repaired, variants=(*others, replace(whole, **{stage: rounded})))
    assert (names(repaired, "repair"), confounded("repair", repaired)) == ([("whole", "course")], [])
    assert names(mixed, "repair") == []
    assert [(changed.name, other.name) for changed, other in confounded("repair", mixed)] == [("whole", "course")]


def test_a_process_without_a_last_step_reaches_noise(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    assert reaches_noise(evidence, flagship)
    assert not reaches_noise(evidence, course)


def test_what_is_asked_is_each_variant_with_the_baseline_and_the_contrasts(evidence: Evidence) -> None:
    def fewer(spec: Variant) -> Variant:
        return replace(spec, title="Few", sampling=replace(spec.sampling, steps=4))

    build = with_variant(with_course(evidence, "whole", beta_end=0.2), 1, "few", fewer)
    against = {frozenset(("course", name)) for name in ("flagship", "whole", "few")}
    assert asked(build) == against | {frozenset(("few", "flagship"))}
    assert asked(replace(build, variants=build.variants[1:])) == {frozenset(("few", "flagship"))}
    assert asked(replace(build, variants=build.variants[:1])) == set()


def test_the_sentence_compares_the_two_with_each_other(evidence: Evidence) -> None:
    def fewer(spec: Variant) -> Variant:
        return replace(spec, title="Few", sampling=replace(spec.sampling, steps=4))

    build = with_variant(evidence, 1, "few", fewer)
    flagship = build.variants[1]
    judged = {**flagship.evaluate, "fid": 4.0, "fid_low": 3.5, "fid_high": 4.5}
    build = replace(build, variants=(*build.variants[:2], replace(build.variants[2], evaluate=judged)))
    pairs = Pairs([Pair("flagship", "few", 120, True, 0.25, 0.1, 0.4, 40, 10, 0.001)], ())
    found = experiment_text("steps", build, pairs, 0.95).replace("\\", "")
    assert "Of 120 shared seeds, Few alone is right on 10 and Flagship alone on 40: " in found
    assert "\u221225.0 points (\u221240.0 to \u221210.0) of class accuracy for Few (p = 0.001), resolved." in found
    assert "FID 4.00 (3.50 to 4.50) for Few and 1.94 (1.85 to 2.10) for Flagship." in found


def test_what_jumps_take_is_said_beside_what_they_give(evidence: Evidence) -> None:
    def taught(spec: Variant) -> Variant:
        sampling = replace(spec.sampling, jump_steps=2)
        steps = spec.training.steps
        training = replace(spec.training, steps=steps + 300, distil_steps=300, distilled=sampling)
        return replace(spec, title="Student", training=training, sampling=sampling)

    build = with_variant(evidence, 1, "student", taught)
    sweep = build.variants[2].sweep
    jumps = {**sweep["rows"][0], "sampler": "UniPC and a jump", "evaluations": 2}
    rows = {**sweep, "rows": [jumps]}
    student = replace(build.variants[2], sample={**build.variants[2].sample, "evaluations": 2}, sweep=rows)
    build = replace(build, variants=(*build.variants[:2], student))
    pairs = Pairs([Pair("student", "flagship", 120, True, -0.1, -0.2, 0.0, 10, 22, 0.1)], ())
    found = experiment_text("jumps", build, pairs, 0.95).replace("\\", "")
    assert found.startswith("Of 120 shared seeds, Student alone is right on 10 and Flagship alone on 22: ")
    price = "Student takes 2 evaluations an image, after 300 more steps of training."
    assert found.endswith(price)
    quick = {**sweep["rows"][0], "sampler": "Quick", "evaluations": 1, "fid": 9.0, "fid_low": 8.0, "fid_high": 10.0}
    better = {**quick, "evaluations": 2, "fid": 8.0, "fid_low": 7.0, "fid_high": 9.0}
    swept = replace(build.variants[1], sweep={**sweep, "rows": [*sweep["rows"], quick, better]})
    build = replace(build, variants=(build.variants[0], swept, student))
    found = experiment_text("jumps", build, pairs, 0.95).replace("\\", "")
    assert f"{price} Of 500 images by as few evaluations the FID is " in found
    assert found.endswith(", and that of Flagship, by Quick with 2 evaluations, 8.00 (7.00 to 9.00).")


def test_the_sweeps_say_what_the_number_of_steps_does(evidence: Evidence) -> None:
    found = experiment_text("steps", evidence, Pairs([], ()), 0.95).replace("\\", "")
    assert found == "\n\n" + "".join(f"    - {sentence}\n" for sentence in steps_sentences(evidence))
    assert found.startswith("\n\n    - Course DDPM from 500 seeds, by DDPM with 100 evaluations: FID ")
    assert "Flagship from 500 seeds, by UniPC with 3 evaluations: FID " in found


def test_the_sweeps_say_nothing_to_other_questions(evidence: Evidence) -> None:
    assert [key for key in EXPERIMENTS if is_answered(key, evidence)] == ["steps", "guidance"]
    assert experiment_text("width", evidence, Pairs([], ()), 0.95) == ""
