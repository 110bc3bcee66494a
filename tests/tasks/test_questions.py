"""What a build leaves open follows from what it holds, question by question."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.evidence import Evidence, VariantEvidence, read_evidence
from tasks.questions import QUESTIONS, left_open
from tasks.variants import Variant
from tasks.verdicts import Finding, Verdict
from tasks.wording import escape
from tests.tasks.report_workspace import build_workspace

ANSWERED_ANYWHERE = {"settling", "validation", "training", "clip", "agreement", "extremes", "shapes", "duration"}
ABOUT_THE_SOURCE = {"noise", "loss", "low_loss"}


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def keys(evidence: Evidence) -> set[str]:
    return {question.key for question in left_open(evidence, [])}


def with_variant(evidence: Evidence, change: Callable[[Variant], Variant], name: str = "another") -> Evidence:
    """The build with one more variant: the course's, changed."""
    course = evidence.variants[0]
    added = replace(course, name=name, spec=change(replace(course.spec, title="Another")))
    return replace(evidence, variants=(*evidence.variants, added))


def test_course_and_flagship_leave_open_what_needs_more_than_them(evidence: Evidence) -> None:
    everything = {question.key for question in QUESTIONS}
    assert len(everything) == len(QUESTIONS)
    assert keys(evidence) == everything - ANSWERED_ANYWHERE - ABOUT_THE_SOURCE - {"steps", "guidance"}


def test_without_the_sources_system_its_claims_are_left_open(evidence: Evidence) -> None:
    others = replace(evidence, variants=evidence.variants[1:])
    assert keys(others) - keys(evidence) == ABOUT_THE_SOURCE


@pytest.mark.parametrize(
    ("answered", "group", "values"),
    [
        ("repair", "process", {"beta_end": 0.2}),
        ("start", "sampling", {"start": "moments"}),
        ("target", "process", {"target": "v"}),
        ("repair", "process", {"beta_start": 0.001, "beta_end": 0.2}),
        ("repeat", "training", {"repeat": 1}),
        ("width", "network", {"channels": (64, 128, 256)}),
    ],
)
def test_two_variants_that_differ_in_one_thing_alone_answer_for_it(
    evidence: Evidence, answered: str, group: str, values: dict[str, object]
) -> None:
    def change(spec: Variant) -> Variant:
        return replace(spec, **{group: replace(getattr(spec, group), **values)})

    def confounded(spec: Variant) -> Variant:
        return replace(change(spec), training=replace(spec.training, steps=spec.training.steps + 1))

    assert keys(evidence) - keys(with_variant(evidence, change)) == {answered}
    assert keys(with_variant(evidence, confounded)) == keys(evidence)


def test_a_schedule_that_ends_in_noise_repairs_a_model_of_the_velocity(evidence: Evidence) -> None:
    """Predicted noise does not go with such a schedule, and with another target two things differ."""

    def velocity(spec: Variant) -> Variant:
        return replace(spec, process=replace(spec.process, target="v"))

    def cosine(spec: Variant) -> Variant:
        return replace(spec, process=replace(spec.process, target="v", schedule="cosine", beta_start=0.0, beta_end=0.0))

    build = with_variant(evidence, velocity, "velocity")
    assert keys(build) - keys(with_variant(build, cosine, "cosine")) == {"repair"}
    assert "repair" in keys(with_variant(evidence, cosine, "cosine"))


def test_a_flagship_without_its_head_start_answers_for_the_prior(evidence: Evidence) -> None:
    """Both start from noise, as without a mixture it must."""
    course, flagship = evidence.variants
    noisy = replace(flagship.spec, sampling=replace(flagship.spec.sampling, start="noise", sigma_max=40.0))
    evidence = replace(evidence, variants=(course, replace(flagship, spec=noisy)))
    process = replace(noisy.process, prior="isotropic", components=0, rank=0, subspace=0)
    everywhere = replace(noisy.sampling, mended_below=1000.0)
    spec = replace(noisy, title="Without", process=process, sampling=everywhere)
    without = replace(flagship, name="without", spec=spec)
    assert keys(evidence) - keys(replace(evidence, variants=(*evidence.variants, without))) == {"prior"}
    alone = replace(flagship, name="alone", spec=replace(noisy, title="Alone", sampling=everywhere))
    assert "prior" in keys(replace(evidence, variants=(*evidence.variants, alone)))


@pytest.mark.parametrize(("lessons", "total", "answers"), [(60, 560, True), (60, 561, False)])
def test_a_model_taught_after_the_same_training_answers_for_jumps(
    evidence: Evidence, lessons: int, total: int, answers: bool
) -> None:
    flagship = evidence.variants[1]
    plain = replace(flagship.spec, training=replace(flagship.spec.training, steps=500))
    jumping = replace(plain.sampling, jump_steps=2)
    student = replace(
        plain,
        title="Student",
        training=replace(plain.training, steps=total, distil_steps=lessons, distilled=jumping),
        sampling=jumping,
    )
    pair = (replace(flagship, spec=plain), replace(flagship, name="student", spec=student))
    build = replace(evidence, variants=(evidence.variants[0], *pair))
    assert ("jumps" not in keys(build)) == answers


def with_target(evidence: Evidence, target: str, precision: str, device: str = "cpu") -> Evidence:
    """The build with one more variant: the course's with another target, sampled in that precision."""
    course = evidence.variants[0]
    spec = replace(course.spec, title=f"Target {target}", process=replace(course.spec.process, target=target))
    sample = {**course.sample, "environment": {"device": device, "precision": precision}}
    return replace(evidence, variants=(*evidence.variants, replace(course, name=target, spec=spec, sample=sample)))


def test_variants_that_answer_but_for_how_they_were_computed_are_named(evidence: Evidence) -> None:
    def needs(build: Evidence) -> list[str]:
        return [question.needs for question in left_open(build, []) if question.key == "target"]

    plain, rounded = "two variants that differ in the target alone", with_target(evidence, "v", "bfloat16")
    assert needs(evidence) == [plain]
    assert needs(rounded) == [f"{plain}, computed alike, which Target v and Course DDPM were not"]
    (several,) = needs(with_target(rounded, "x0", "float32", "cuda"))
    titles = ("Target v and Course DDPM", "Target x0 and Course DDPM", "Target x0 and Target v")
    assert several == f"{plain}, computed alike, which {' as well as '.join(titles)} were not"
    assert needs(with_target(rounded, "x0", "bfloat16")) == []
    assert needs(with_target(rounded, "x0", "float32")) == []


def test_the_number_of_sampling_steps_alone(evidence: Evidence) -> None:
    evidence = by_other_samplers_alone(evidence)
    flagship = evidence.variants[1]
    fewer = replace(flagship.spec, sampling=replace(flagship.spec.sampling, steps=4))
    more = replace(evidence, variants=(*evidence.variants, replace(flagship, name="few", spec=fewer)))
    assert keys(evidence) - keys(more) == {"steps"}


def by_other_samplers_alone(evidence: Evidence) -> Evidence:
    """The build with sweeps in which each variant's own sampler has one number of steps."""

    def kept(variant: VariantEvidence) -> VariantEvidence:
        own, *others = variant.sweep["rows"]
        rows = [own, *(row for row in others if row["sampler"] != own["sampler"])]
        return replace(variant, sweep={**variant.sweep, "rows": rows})

    return replace(evidence, variants=tuple(map(kept, evidence.variants)))


def test_a_sweep_answers_for_the_number_of_steps_where_it_tries_a_variants_own_sampler(evidence: Evidence) -> None:
    without = by_other_samplers_alone(evidence)
    assert keys(without) - keys(evidence) == {"steps"}
    course, _ = evidence.variants
    assert keys(replace(without, variants=(course, without.variants[1]))) == keys(evidence)


@pytest.mark.parametrize(
    ("verdicts", "is_open"),
    [(("not answered",), True), (("not answered", "refuted"), False), (("confirmed", "confirmed"), False)],
)
def test_a_question_is_open_as_long_as_no_claim_about_it_has_a_verdict(
    evidence: Evidence, verdicts: tuple[Verdict, ...], is_open: bool
) -> None:
    claims = [Finding("A claim.", verdict, escape("text"), "shapes", f"need {i}") for i, verdict in enumerate(verdicts)]
    assert ("shapes" in {question.key for question in left_open(evidence, claims)}) == is_open


def test_an_open_question_needs_what_its_claims_lack_each_once(evidence: Evidence) -> None:
    claims = [Finding("A claim.", "not answered", escape("text"), "shapes", lacks) for lacks in ("a", "b", "a")]
    assert [q.needs for q in left_open(evidence, claims) if q.key == "shapes"] == ["a, or b"]


def test_a_schedule_still_farther_from_noise_repairs_nothing(evidence: Evidence) -> None:
    farther = with_variant(evidence, lambda spec: replace(spec, process=replace(spec.process, beta_end=0.01)))
    assert keys(farther) == keys(evidence)


def test_a_copy_of_a_variant_answers_nothing(evidence: Evidence) -> None:
    assert keys(with_variant(evidence, lambda spec: spec)) == keys(evidence)


def test_unequal_classes_do_not_answer_whether_more_images_are_easier(evidence: Evidence) -> None:
    counts = {**evidence.prepare["counts"], "train": [5500] * 9 + [500]}
    unequal = replace(evidence, prepare={**evidence.prepare, "counts": counts})
    assert "balance" in keys(unequal)
