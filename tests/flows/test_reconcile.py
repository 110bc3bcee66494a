"""Completing MLflow from the files: what DVC restored, what an outage lost, what a dead process left open."""

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.reconcile import reconcile
from tasks.files import read_json, write_json, write_text
from tasks.params import Params
from tasks.paths import WORK, artifact, metrics_file, table_file
from tasks.records import VARIANT_STAGES, RunRecord, beginning, note_run
from tasks.resume_state import mark_published
from tasks.tracking import Writer, open_store, publish
from tests.flows.conftest import lock_up
from tests.tasks.report_workspace import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``", "ignore:For backward")


def runs(stage: str) -> list[Any]:
    client, experiment = open_store()
    return list(client.search_runs([experiment], f"tags.stage = '{stage}'"))


@pytest.fixture
def small(build: Params) -> Params:
    """A build with one variant and without judges, which is enough here."""
    for stage in ("critic", "scorer", "references"):
        metrics_file(stage).unlink()
    for stage in VARIANT_STAGES:
        metrics_file(stage, "flagship").unlink()
    lock_up()
    return build


def test_every_stage_with_results_gets_its_record_once(small: Params) -> None:
    assert reconcile() == 5
    before = {stage: runs(stage)[0].info.run_id for stage in (*VARIANT_STAGES, "variant")}
    assert reconcile() == 5
    assert {stage: [run.info.run_id for run in runs(stage)] for stage in before} == {
        stage: [run_id] for stage, run_id in before.items()
    }
    assert all(runs(stage)[0].info.status == "FINISHED" for stage in before)


def test_pictures_come_back_at_their_training_steps(small: Params) -> None:
    reconcile()
    client, _ = open_store()
    names = [item.path for item in client.list_artifacts(runs("sample")[0].info.run_id, "images")]
    steps = {int(name.split("+")[2]) for name in names if name.startswith("images/samples~progress+step+")}
    assert steps == {0, 100, 200, 300, 400, 500}


def edit(old: str, new: str) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    write_text(Path("params.yaml"), text.replace(old, new, 1))


def test_another_sampler_is_recorded_beside_the_first_once_its_images_are_drawn(
    small: Params, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert reconcile() == 5
    identity = runs("train")[0].data.tags["run.identity"]
    drawn = runs("sample")
    edit("guidance: 1.0", "guidance: 3.0")
    assert reconcile() == 1
    assert [entry.to_dictionary() for entry in runs("sample")] == [entry.to_dictionary() for entry in drawn]
    left_out = [line for line in caplog.messages if "left out" in line]
    later = [f"{stage}@course" for stage in VARIANT_STAGES if stage != "train"]
    assert [line.split()[1] for line in left_out] == later
    assert all("variants.course.sampling has changed" in line for line in left_out)
    lock_up()
    assert reconcile() == 5
    assert {run.data.tags["run.identity"] for run in runs("train")} == {identity}
    assert {run.data.params["sampling.guidance"] for run in runs("train")} == {"-"}
    for stage in ("sample", "variant"):
        assert sorted(run.data.params["sampling.guidance"] for run in runs(stage)) == ["1.0", "3.0"]


def test_a_training_that_fails_takes_no_older_results(small: Params) -> None:
    assert reconcile() == 5
    edit("lr: 0.001", "lr: 0.9")
    metrics_file("train", "course").unlink()  # as DVC does before it runs the stage
    assert publish("train", "course", "FAILED", {}, beginning("train", "course"))
    assert reconcile() == 0
    assert {stage: len(runs(stage)) for stage in (*VARIANT_STAGES, "variant")} == {
        "train": 2,
        "sample": 1,
        "score": 1,
        "evaluate": 1,
        "sweep": 1,
        "variant": 2,
    }
    assert sorted(run.info.status for run in runs("variant")) == ["FAILED", "FINISHED"]


def test_a_new_checkpoint_does_not_get_the_scores_of_the_old_ones_images(
    small: Params, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert reconcile() == 5
    edit("lr: 0.001", "lr: 0.002")
    summary = read_json(metrics_file("train", "course"))
    write_json(metrics_file("train", "course"), {**summary, "weights_sha256": "c" * 64})
    write_text(artifact("course", "model.safetensors"), "other weights")
    lock_up("train@course")
    assert reconcile() == 1
    assert sorted(run.data.params["training.lr"] for run in runs("train")) == ["0.001", "0.002"]
    assert [run.data.params["training.lr"] for run in runs("score")] == ["0.001"]
    assert "sample@course is left out, params.yaml: variants.course.training has changed" in caplog.text


def said_by_the_program(*options: str) -> str:
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.reconcile", *options]
    return subprocess.run(command, env=known, capture_output=True, text=True, check=True).stderr


def test_results_that_the_lock_does_not_know_are_left_out(small: Params, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    summary = read_json(metrics_file("score", "course"))
    write_json(metrics_file("score", "course"), {**summary, "num_images": 7})
    assert reconcile() == 4
    assert "reports/metrics/score/course.json is not what score@course wrote" in caplog.text
    assert "score@course is left out" in said_by_the_program()
    assert said_by_the_program("--quiet") == ""
    Path("dvc.lock").unlink()
    assert reconcile() == 0


def git(*arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *who, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def commit(message: str) -> str:
    git("commit", "--quiet", "--allow-empty", "--message", message)
    return git("rev-parse", "HEAD")


def test_a_run_keeps_the_commit_that_it_was_made_from(small: Params) -> None:
    git("init", "--quiet")
    first = commit("first")
    assert publish("train", "course", "FINISHED", {}, beginning("train", "course"))
    note_run("sample", "course", beginning("sample", "course"), finished=True, tags={})
    stages = ("train", "sample", "variant")
    for _ in range(2):
        second = commit("another")
        reconcile()
        assert {run.data.tags["git.commit"] for stage in stages for run in runs(stage)} == {first}
        assert {run.data.tags["mlflow.source.git.commit"] for run in runs("train")} == {first}
    assert publish("train", "course", "FINISHED", {}, beginning("train", "course"))
    assert second not in {run.data.tags["git.commit"] for run in runs("train")}
    assert "git.commit" not in runs("score")[0].data.tags  # nobody noted where it ran


def times(stage: str) -> tuple[int, int]:
    run = runs(stage)[0]
    return run.info.start_time, run.info.end_time


def test_runs_have_the_times_of_their_stages_however_often_they_are_recorded(build: Params) -> None:
    """The critic ran from 1 s to 61 s after a moment in the past, the scorer from 70 s to 90 s."""
    past = 1_700_000_000_000
    for stage, began, ended in (("critic", 1_000, 61_000), ("scorer", 70_000, 90_000)):
        note_run(stage, None, replace(beginning(stage, None), began=past + began), finished=True, tags={})
        note = WORK / "runs" / f"{stage}.json"
        write_json(note, {**read_json(note), "ended": past + ended})
    metrics_file("references").unlink()
    lock_up()
    for _ in range(2):
        reconcile()
        assert times("critic") == (past + 1_000, past + 61_000)
        assert times("scorer") == (past + 70_000, past + 90_000)
        assert times("judges") == (past + 1_000, past + 90_000)


def test_recording_again_does_not_move_an_end_that_nobody_noted(small: Params) -> None:
    reconcile()
    before = {stage: times(stage) for stage in ("train", "score", "variant")}
    reconcile()
    assert {stage: times(stage) for stage in before} == before


def test_device_and_versions_are_those_of_the_stage_itself(small: Params) -> None:
    summary = read_json(metrics_file("sample", "course"))
    environment = {"device": "cuda", "threads": 7, "precision": "bfloat16"}
    write_json(metrics_file("sample", "course"), {**summary, "environment": environment})
    lock_up()
    reconcile()
    trained, drawn, scored = (runs(stage)[0].data for stage in ("train", "sample", "score"))
    assert (trained.tags["device"], trained.tags["device_name"]) == ("cpu", "x86_64")
    assert (drawn.tags["device"], drawn.tags["threads"], drawn.tags["precision"]) == ("cuda", "7", "bfloat16")
    assert trained.tags["precision"] == "float32"
    assert not {"device", "device_name", "threads", "precision"} & set(scored.tags)
    assert "sample/environment/threads" not in drawn.metrics


def test_an_outage_is_made_good(small: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        begun = beginning("score", "course")
        assert publish("score", "course", "FINISHED", {"prefect.flow_run_id": "abc"}, begun) is None
        assert reconcile() == 0
    assert reconcile() == 5
    assert runs("score")[0].data.tags["prefect.flow_run_id"] == "abc"


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The stages of whose missing records there was a warning."""
    return [line.split()[6] for line in caplog.messages if line.startswith("warning: MLflow was not told of")]


def test_a_stage_whose_files_are_damaged_keeps_no_other_from_its_record(
    small: Params, caplog: pytest.LogCaptureFixture
) -> None:
    artifact("course", "samples.npz").write_bytes(b"torn")
    table_file("sweep_course").unlink()
    assert reconcile() == 3
    assert warned(caplog) == ["sample@course", "sweep@course"]
    assert [len(runs(stage)) for stage in ("train", "score", "evaluate")] == [1, 1, 1]


def test_an_outage_costs_one_warning_however_many_stages_it_concerns(
    small: Params, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact("course", "samples.npz").write_bytes(b"torn")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert reconcile() == 0
    assert warned(caplog) == ["train@course"]


def test_a_store_that_fails_half_way_ends_the_writing(
    small: Params, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Writer.write

    def write_until_scored(writer: Writer, found: RunRecord, *rest: Any, **more: Any) -> str:
        if found.stage == "score":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
            raise ConnectionError("the server is gone")
        return write(writer, found, *rest, **more)

    monkeypatch.setattr(Writer, "write", write_until_scored)
    assert reconcile() == 2
    assert warned(caplog) == ["score@course"]


def test_a_note_about_other_results_is_not_believed(small: Params) -> None:
    begun = beginning("score", "course")
    note_run("score", "course", begun, finished=False, tags={"prefect.flow_run_id": "of a run that failed"})
    reconcile()
    assert "prefect.flow_run_id" not in runs("score")[0].data.tags


def test_hashes_come_from_the_lock_once_it_is_written(small: Params) -> None:
    write_text(Path("dvc.yaml"), "stages:\n  sample:\n    deps:\n      - artifacts/${item.variant}/model.safetensors\n")
    reconcile()
    tags = runs("sample")[0].data.tags
    outs = {out["path"]: out["md5"] for entry in _lock().values() for out in entry["outs"]}
    for kind, name in (("dep", "model.safetensors"), ("out", "samples.npz")):
        assert tags[f"dvc.{kind}.artifacts/course/{name}.md5"] == outs[f"artifacts/course/{name}"]


def _lock() -> dict[str, Any]:
    stages: dict[str, Any] = read_json(Path("dvc.lock"))["stages"]
    return stages


def test_a_run_left_open_by_a_dead_process_is_closed(small: Params) -> None:
    client, experiment = open_store()
    import os

    run = client.create_run(experiment, tags={"stage": "train", "run.process": f"{os.uname().nodename}:99999999"})
    reconcile()
    assert client.get_run(run.info.run_id).info.status == "KILLED"


def test_the_state_of_a_recorded_training_is_removed_even_in_an_outage(
    small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    write_text(artifact("flagship", "history.csv"), "of a training that DVC has not recorded\n")
    states = {variant: WORK / variant / "0123456789abcdef" for variant in ("course", "flagship")}
    for variant, state in states.items():
        mark_published(state, [artifact(variant, name) for name in ("model.safetensors", "history.csv")])
    reconcile()
    assert not states["course"].exists()
    assert states["flagship"].is_dir()


def test_without_results_nothing_is_opened(small: Params) -> None:
    shutil.rmtree("reports")
    Path("mlflow.db").unlink()
    assert reconcile() == 0
    assert not Path("mlflow.db").exists()
