"""What MLflow takes for the same run: equal where everything is equal that bears on it, and only there."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.config import PARAMS, load_params
from tasks.params import Params
from tasks.run_params import ABSENT, GROUPS, run_identity, run_params
from tasks.variants import Variant

PROJECT = load_params(Path(__file__).parents[2] / PARAMS)
COURSE = PROJECT.variants["course"]
OTHERS = {
    "title": replace(COURSE, title="Another title"),
    "sampling": replace(COURSE, sampling=replace(COURSE.sampling, guidance=3.0)),
    "training": replace(COURSE, training=replace(COURSE.training, lr=0.5)),
}


def identity(stage: str, course: Variant = COURSE, code: str = "a") -> str:
    return run_identity(with_course(course), stage, "course", "data", {"code_sha256": code})


def with_course(course: Variant) -> Params:
    return replace(PROJECT, variants={**PROJECT.variants, "course": course})


@pytest.mark.parametrize(("setting", "same"), [("title", True), ("sampling", True), ("training", False)])
def test_a_training_is_another_run_only_where_it_can_end_otherwise(setting: str, same: bool) -> None:
    assert (identity("train", OTHERS[setting]) == identity("train")) is same


@pytest.mark.parametrize(("setting", "same"), [("title", True), ("sampling", False), ("training", False)])
@pytest.mark.parametrize("stage", ["variant", "sample", "score", "evaluate", "sweep"])
def test_what_is_sampled_differently_is_another_run(stage: str, setting: str, same: bool) -> None:
    assert (identity(stage, OTHERS[setting]) == identity(stage)) is same


HOLDS_A_HISTORY = {"train": True, "variant": True, "sample": False, "score": False, "evaluate": False, "sweep": False}


@pytest.mark.parametrize(("stage", "same"), [(stage, not holds) for stage, holds in HOLDS_A_HISTORY.items()])
def test_what_a_training_is_resumed_by_tells_apart_the_runs_that_hold_its_history(stage: str, same: bool) -> None:
    assert (identity(stage, code="b") == identity(stage)) is same


def test_another_start_of_sampling_is_the_same_training_under_another_name() -> None:
    root = Path(__file__).parents[2]
    full = load_params(root / PARAMS, root / "profiles" / "full.yaml")
    one, other = (run_params(full, "train", variant) for variant in ("course", "course_start"))
    assert {key for key in one if one[key] != other[key]} == {"variant", "title"}
    one, other = (run_params(full, "sample", variant) for variant in ("course", "course_start"))
    assert {key for key in one if one[key] != other[key]} == {"variant", "title", "sampling.start"}


@pytest.mark.parametrize("stage", ["critic", "scorer", "references", "judges"])
def test_the_precision_of_the_models_makes_no_other_judge(stage: str) -> None:
    rounded = replace(PROJECT, compute=replace(PROJECT.compute, precision="bfloat16"))
    slower = replace(PROJECT, compute=replace(PROJECT.compute, threads=PROJECT.compute.threads + 1))
    found, *others = (run_identity(params, stage, None, "data", {}) for params in (PROJECT, rounded, slower))
    assert [other == found for other in others] == [True, False]


def test_every_run_shows_the_same_keys_and_training_none_of_the_sampler() -> None:
    shown = {stage: run_params(PROJECT, stage, "course") for stage in GROUPS}
    assert len({tuple(values) for values in shown.values()}) == 1
    sampler = {key for key in shown["train"] if key.startswith("sampling.")}
    assert "sampling.guidance" in sampler
    assert {shown["train"][key] for key in sampler} == {ABSENT}
    assert shown["sample"]["sampling.guidance"] == shown["variant"]["sampling.guidance"] == "1.0"


@pytest.mark.parametrize(
    "stage", [stage for stage in GROUPS if stage not in ("critic", "scorer", "references", "judges")]
)
def test_what_is_swept_makes_another_run_of_the_sweep_alone(stage: str) -> None:
    other = replace(PROJECT, sweep=replace(PROJECT.sweep, evaluations=(5, 7)))
    runs = [run_identity(params, stage, "course", "data", {}) for params in (PROJECT, other)]
    assert (runs[0] == runs[1]) is (stage != "sweep")
    shown = run_params(other, stage, "course")["sweep.evaluations"]
    assert shown == ("5, 7" if stage == "sweep" else ABSENT)
