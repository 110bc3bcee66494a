"""Completing MLflow from the files: what DVC restored, what an outage lost, what a dead process left open."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.reconcile import reconcile
from tasks.config import Params
from tasks.files import write_text
from tasks.paths import metrics_file
from tasks.records import note_run
from tasks.tracking import open_store, publish

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``", "ignore:For backward")


def runs(stage: str) -> list[Any]:
    client, experiment = open_store()
    return list(client.search_runs([experiment], f"tags.stage = '{stage}'"))


@pytest.fixture
def small(build: Params) -> Params:
    """A build with one variant and without judges, which is enough here."""
    for stage in ("critic", "scorer", "references"):
        metrics_file(stage).unlink()
    for stage in ("train", "sample", "score", "evaluate"):
        metrics_file(stage, "flagship").unlink()
    return build


def test_every_stage_with_results_gets_its_record_once(small: Params) -> None:
    assert reconcile() == 4
    before = {stage: runs(stage)[0].info.run_id for stage in ("train", "sample", "score", "evaluate", "variant")}
    assert reconcile() == 4
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


def test_another_sampler_is_recorded_beside_the_first_with_the_training_that_it_shares(small: Params) -> None:
    reconcile()
    before = runs("train")[0].data.tags["run.identity"]
    text = Path("params.yaml").read_text()
    write_text(Path("params.yaml"), text.replace("eta: 1.0, guidance: 1.0", "eta: 1.0, guidance: 3.0", 1))
    reconcile()
    assert {run.data.tags["run.identity"] for run in runs("train")} == {before}
    assert {run.data.params["sampling.guidance"] for run in runs("train")} == {"-"}
    for stage in ("sample", "variant"):
        assert sorted(run.data.params["sampling.guidance"] for run in runs(stage)) == ["1.0", "3.0"]


def test_an_outage_is_made_good(small: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        assert publish("score", "course", "FINISHED", {"prefect.flow_run_id": "abc"}) is None
        assert reconcile() == 0
    assert reconcile() == 4
    assert runs("score")[0].data.tags["prefect.flow_run_id"] == "abc"


def test_a_note_about_other_results_is_not_believed(small: Params) -> None:
    note_run("score", "course", finished=False, tags={"prefect.flow_run_id": "of a run that failed"})
    reconcile()
    assert "prefect.flow_run_id" not in runs("score")[0].data.tags


def test_hashes_come_from_the_lock_once_it_is_written(small: Params) -> None:
    write_text(Path("dvc.yaml"), "stages:\n  sample:\n    deps:\n      - artifacts/${item.variant}/model.safetensors\n")
    lock = """schema: '2.0'
stages:
  train@course:
    cmd: python -m flows.train course
    outs:
    - {path: artifacts/course/model.safetensors, md5: aaa}
  sample@course:
    cmd: python -m flows.sample course
    outs:
    - {path: artifacts/course/samples.npz, md5: bbb}
"""
    write_text(Path("dvc.lock"), lock)
    reconcile()
    tags = runs("sample")[0].data.tags
    assert tags["dvc.dep.artifacts/course/model.safetensors.md5"] == "aaa"
    assert tags["dvc.out.artifacts/course/samples.npz.md5"] == "bbb"


def test_a_run_left_open_by_a_dead_process_is_closed(small: Params) -> None:
    client, experiment = open_store()
    import os

    run = client.create_run(experiment, tags={"stage": "train", "run.process": f"{os.uname().nodename}:99999999"})
    reconcile()
    assert client.get_run(run.info.run_id).info.status == "KILLED"


def test_without_results_nothing_is_opened(small: Params) -> None:
    shutil.rmtree("reports")
    Path("mlflow.db").unlink()
    assert reconcile() == 0
    assert not Path("mlflow.db").exists()
