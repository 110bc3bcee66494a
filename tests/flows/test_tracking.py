"""The mirror in MLflow against a real SQLite store: complete, written once, and never in the way."""

import json
import os
import socket
import sqlite3
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.mirror import AFTERWARDS, mirrored
from tasks.files import read_arrays, read_json, read_table, write_json
from tasks.labels import CLASS_SLUGS
from tasks.live_tracking import MlflowSink
from tasks.params import Params
from tasks.paths import WORKSPACE_MARK, artifact, metrics_file
from tasks.records import beginning, key_part, outputs_digest, record
from tasks.tracking import Writer, close_stale_runs, create_store, open_store
from tasks.tracking import publish as publish_as
from tasks.tracking_place import experiment_name, tracking_address
from tests.flows.conftest import environment_restored, lay_out
from tests.patience import PATIENCE

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``", "ignore:For backward")
STAGES = ("train", "sample", "score", "evaluate", "sweep")


def publish(stage: str, variant: str | None, status: str, tags: dict[str, str], settled: bool = False) -> str | None:
    """Publish a stage that begins and ends now, or one that is settled."""
    return publish_as(stage, variant, status, tags, None if settled else beginning(stage, variant))


def runs() -> dict[tuple[str, str], Any]:
    """Every run by stage and variant."""
    client, experiment = open_store()
    found = client.search_runs([experiment])
    keys = [(run.data.tags["stage"], run.data.params["variant"]) for run in found]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found, strict=True))


def histories(run: Any) -> dict[str, list[tuple[int, float]]]:
    client, _ = open_store()
    series = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    return {key: sorted((metric.step, metric.value) for metric in values) for key, values in series.items()}


def artifacts(run: Any, folder: str = "") -> list[str]:
    client, _ = open_store()
    found = client.list_artifacts(run.info.run_id, folder)
    return sorted(name for item in found for name in (artifacts(run, item.path) if item.is_dir else [item.path]))


@pytest.fixture(scope="module")
def published_folder(
    invented: tuple[Path, Params], empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A workspace whose variant ``course`` has been published; for tests that only look."""
    folder = tmp_path_factory.mktemp("published") / "workspace"
    with environment_restored(), pytest.MonkeyPatch.context() as patch:
        lay_out(invented[0], empty_store, folder, patch)
        publish_all()
    return folder


@pytest.fixture
def published(published_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published_folder)


def publish_all(settled: bool = False) -> None:
    for stage in STAGES:
        assert publish(stage, "course", "FINISHED", {}, settled)


def test_a_variant_is_a_parent_run_with_a_child_for_each_stage(published: None) -> None:
    found = runs()
    parent = found["variant", "course"]
    assert set(found) == {("variant", "course"), *((stage, "course") for stage in STAGES)}
    for stage in STAGES:
        assert found[stage, "course"].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert found[stage, "course"].info.status == "FINISHED"
    assert parent.info.run_name == "course"


def test_losses_are_a_series_by_step_in_the_run_and_its_parent(published: None) -> None:
    table = read_table(artifact("course", "history.csv"))
    expected = list(zip(table["step"], table["train_loss"], strict=True))
    validated = table.dropna(subset="val_loss")
    for run in (runs()["train", "course"], runs()["variant", "course"]):
        series = histories(run)
        assert series["train/loss"] == expected
        assert series["train/val_loss"] == list(zip(validated["step"], validated["val_loss"], strict=True))


def test_clip_scores_per_class_are_scalars_and_a_table(published: None) -> None:
    measured = read_json(metrics_file("score", "course"))["per_class"]
    for run in (runs()["score", "course"], runs()["variant", "course"]):
        for slug in CLASS_SLUGS:
            for name in ("good", "clear", "blurry", "accuracy"):
                assert run.data.metrics[f"clip/class/{slug}/{name}"] == measured[slug][name]["value"]
    table = runs()["score", "course"].data.tags["mlflow.loggedArtifacts"]
    assert json.loads(table) == [{"path": "clip/per_class.json", "type": "table"}]


def test_a_sweep_is_a_curve_over_evaluations_and_a_table(published: None) -> None:
    measured = read_json(metrics_file("sweep", "course"))
    curves = {"ddpm": "DDPM", "ipndm": "iPNDM"}
    for run in (runs()["sweep", "course"], runs()["variant", "course"]):
        series = histories(run)
        for slug, name in curves.items():
            for figure in ("fid", "accuracy"):
                rows = [(row["evaluations"], row[figure]) for row in measured["rows"] if row["sampler"] == name]
                assert series[f"sweep/{figure}/{slug}"] == sorted(rows)
        assert run.data.metrics["sweep/real/fid_low"] == measured["real"]["fid_low"]
    run = runs()["sweep", "course"]
    tables = [{"path": f"sweep/{name}.json", "type": "table"} for name in ("samplers", "guidance")]
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == tables
    assert (run.data.tags["dvc.stage"], run.data.params["sweep.per_class"]) == ("sweep@course", "50")


def test_every_sampler_has_a_key_of_its_own_that_mlflow_takes() -> None:
    names = ["DDIM", "DDPM", "DDIM, eta 0.5", "Heun", "Heun, churn 2", "DPM-Solver++(2M)", "DPM-Solver++(3M)"]
    assert [key_part(name) for name in names] == [
        "ddim",
        "ddpm",
        "ddim-eta-0.5",
        "heun",
        "heun-churn-2",
        "dpm-solver-2m",
        "dpm-solver-3m",
    ]


def test_pictures_are_shown_by_training_step_in_the_run_that_drew_them(published: None) -> None:
    run = runs()["sample", "course"]
    shown = [name for name in artifacts(run, "images") if name.endswith(".png")]
    pairs = sorted((key, int(step)) for key, _, step, *_ in (name.split("+") for name in shown))
    steps = read_arrays(artifact("course", "progress.npz"))["steps"].tolist()
    assert pairs == [("images/samples~final", 0), *(("images/samples~progress", step) for step in steps)]
    assert run.data.tags["mlflow.loggedImages"] == "True"
    assert artifacts(runs()["train", "course"], "images") == []


def test_checkpoints_are_models_with_their_own_figures(published: None) -> None:
    client, experiment = open_store()
    (model,) = client.search_logged_models([experiment])
    entry = read_json(metrics_file("train", "course"))["snapshots"][0]
    assert model.status == "READY"
    assert model.source_run_id == runs()["train", "course"].info.run_id
    figures = {metric.key: metric.value for metric in model.metrics}
    assert figures["checkpoint/val_loss"] == entry["val_loss"]
    assert figures["clip/good"] == read_json(metrics_file("score", "course"))["good"]["value"]
    assert figures["critic/fid"] == read_json(metrics_file("evaluate", "course"))["fid"]
    assert figures["sweep/real/fid"] == read_json(metrics_file("sweep", "course"))["real"]["fid"]


def test_all_runs_have_the_same_parameters(build: Params) -> None:
    publish("train", "course", "FINISHED", {})
    publish("train", "flagship", "FINISHED", {})
    publish("scorer", None, "FINISHED", {})
    keys = {tuple(sorted(run.data.params)) for run in runs().values()}
    assert len(keys) == 1
    assert runs()["train", "course"].data.params["network.blocks"] == "-"
    assert runs()["train", "flagship"].data.params["network.blocks"] != "-"


def test_judges_stand_under_a_run_of_their_own(build: Params) -> None:
    for stage in ("critic", "scorer", "references"):
        publish(stage, None, "FINISHED", {})
    found = runs()
    parent = found["judges", "-"]
    assert parent.info.run_name == "judges"
    assert {found[stage, "-"].data.tags["mlflow.parentRunId"] for stage in ("critic", "scorer", "references")} == {
        parent.info.run_id
    }


def test_lineage_leads_to_data_configuration_and_flow_run(build: Params) -> None:
    publish("train", "course", "FINISHED", {"prefect.flow_run_id": "abc"})
    run = runs()["train", "course"]
    tags = run.data.tags
    assert tags["dvc.stage"] == "train@course"
    assert tags["prefect.flow_run_id"] == "abc"
    assert len(tags["config.sha256"]) == len(tags["data.sha256"]) == 64
    assert run.inputs.dataset_inputs[0].dataset.digest == tags["data.sha256"][:16]


def test_publishing_again_writes_nothing_twice(build: Params) -> None:
    publish_all()
    before = {key: (histories(run), artifacts(run), run.info.run_id) for key, run in runs().items()}
    for settled in (False, True):
        publish_all(settled)
    assert {key: (histories(run), artifacts(run), run.info.run_id) for key, run in runs().items()} == before
    client, experiment = open_store()
    assert len(client.search_logged_models([experiment])) == 1


def test_other_results_of_the_same_settings_are_a_run_of_their_own(build: Params) -> None:
    publish("score", "course", "FINISHED", {})
    first = runs()["score", "course"].info.run_id
    changed = read_json(metrics_file("score", "course"))
    changed["good"]["value"] += 0.01
    write_json(metrics_file("score", "course"), changed)
    publish("score", "course", "FINISHED", {})
    client, experiment = open_store()
    scored = client.search_runs([experiment], "tags.stage = 'score'")
    assert len(scored) == 2
    assert first in {run.info.run_id for run in scored}


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_without_results_has_its_true_status_and_is_taken_up_again(build: Params, status: str) -> None:
    publish("train", "course", status, {})
    stopped = runs()["train", "course"]
    assert stopped.info.status == status
    assert not stopped.data.metrics
    publish("train", "course", "FINISHED", {})
    again = runs()["train", "course"]
    assert (again.info.run_id, again.info.status) == (stopped.info.run_id, "FINISHED")


def test_a_run_that_is_taken_up_names_the_files_and_the_process_of_now(build: Params) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "commit", "--quiet", "--allow-empty", "--message", "first"], check=True)
    publish("train", "course", "KILLED", {})
    client, _ = open_store()
    killed = runs()["train", "course"]
    assert "history.csv" in killed.data.tags["git.untracked"]
    Path(".git/info/exclude").write_text("*\n")
    for run in runs().values():
        client.set_tag(run.info.run_id, "run.process", f"{os.uname().nodename}:99999999")
    begun = Writer(*open_store()).begin(record("train", "course", beginning("train", "course"), finished=False))
    close_stale_runs()
    assert {client.get_run(run.info.run_id).info.status for run in begun} == {"RUNNING"}
    publish("train", "course", "FINISHED", {})
    for run in runs().values():
        assert (run.info.status, run.data.tags["git.dirty"]) == ("FINISHED", "false")
        assert "git.untracked" not in run.data.tags
    assert runs()["train", "course"].info.run_id == killed.info.run_id


def test_what_the_tree_changed_stands_with_the_stage_that_ran_under_it(build: Params) -> None:
    """A variant's training may come from another commit than its samples, so each run has a patch of its own."""
    clean = replace(beginning("train", "course"), changes="", tags={"git.commit": "a", "git.dirty": "false"})
    publish_as("train", "course", "FINISHED", {}, clean)
    dirty = replace(
        beginning("sample", "course"), changes="-steps: 18\n", tags={"git.commit": "a", "git.dirty": "true"}
    )
    publish_as("sample", "course", "FINISHED", {}, dirty)
    kept = {stage: "git/diff.patch" in artifacts(run) for (stage, _), run in runs().items()}
    assert kept == {"variant": False, "train": False, "sample": True}


def test_a_training_repeated_in_another_precision_is_another_run(build: Params) -> None:
    """Otherwise the points of both would be one curve."""
    summary, begun = read_json(metrics_file("train", "course")), beginning("train", "course")
    for precision in ("bfloat16", "float32"):
        repeated = replace(begun, training={**begun.training, "precision": precision})
        environment = {**summary["environment"], "precision": precision}
        write_json(metrics_file("train", "course"), {**summary, "environment": environment})
        publish_as("train", "course", "FINISHED", {}, repeated)
    client, experiment = open_store()
    for stage in ("train", "variant"):
        found = client.search_runs([experiment], f"tags.stage = '{stage}'")
        assert sorted(run.data.tags["precision"] for run in found) == ["bfloat16", "float32"]
        assert len({run.data.tags["run.identity"] for run in found}) == 2
        steps = [len(client.get_metric_history(run.info.run_id, "train/loss")) for run in found]
        assert steps == [len(read_table(artifact("course", "history.csv")))] * 2


def test_a_training_by_other_code_is_another_run(build: Params) -> None:
    begun = beginning("train", "course")
    assert set(begun.training) == {"code_sha256", "torch", "device", "precision"}
    for key in begun.training:
        other = replace(begun, training={**begun.training, key: "another"})
        publish_as("train", "course", "KILLED", {}, other)
    publish_as("train", "course", "FINISHED", {}, begun)
    client, experiment = open_store()
    for stage in ("train", "variant"):
        found = client.search_runs([experiment], f"tags.stage = '{stage}'")
        assert sorted(run.info.status for run in found) == ["FINISHED", *["KILLED"] * 4]
        assert sorted("train/loss" in run.data.metrics for run in found) == [*[False] * 4, True]


def test_parameters_edited_during_a_stage_do_not_relabel_it(build: Params) -> None:
    with mirrored("score", "course"):
        text = Path("params.yaml").read_text()
        Path("params.yaml").write_text(text.replace("lr: 0.001", "lr: 0.9", 1))
    assert {run.data.params["training.lr"] for run in runs().values()} == {"0.001"}


def test_a_stage_that_the_parent_flow_records_leaves_a_note_of_where_it_comes_from(
    build: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AFTERWARDS, "1")
    subprocess.run(["git", "init", "--quiet"], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "commit", "--quiet", "--allow-empty", "--message", "first"], check=True)
    with mirrored("score", "course"):
        pass
    assert runs() == {}
    note = read_json(Path(".work/runs/score-course.json"))
    assert note["outputs"] == outputs_digest("score", "course")
    assert {"git.commit", "git.dirty", "torch"} <= set(note["tags"])


def test_the_group_is_closed_after_each_of_its_stages(build: Params) -> None:
    for stage in ("critic", "scorer"):
        publish(stage, None, "FINISHED", {})
        assert runs()["judges", "-"].info.status == "FINISHED"


def test_live_figures_and_the_final_record_are_one_series(build: Params) -> None:
    table = read_table(artifact("course", "history.csv"))
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    sink = MlflowSink("course")
    for row in rows[: len(rows) // 2]:
        sink.log(row, int(row["step"]))
    wait_for_run("train")
    sink.close()
    live = histories(runs()["train", "course"])["train/loss"]
    publish("train", "course", "FINISHED", {})
    assert live == [(int(row["step"]), row["train_loss"]) for row in rows[: len(rows) // 2]]
    assert histories(runs()["train", "course"])["train/loss"] == [(int(r["step"]), r["train_loss"]) for r in rows]


def test_stages_without_a_record_are_passed_over(build: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert publish("fetch", None, "FINISHED", {}) is None


def wait_for_run(stage: str) -> None:
    client, experiment = open_store()
    deadline = time.monotonic() + 60
    while not client.search_runs([experiment], f"tags.stage = '{stage}'") and time.monotonic() < deadline:
        time.sleep(0.05)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_closed_port_costs_one_warning_and_little_time(
    build: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port())
    start = time.monotonic()
    assert publish("train", "course", "FINISHED", {}) is None
    assert time.monotonic() - start < PATIENCE
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "python -m flows.reconcile" in caplog.text


def test_a_server_that_never_answers_costs_one_warning_and_little_time(
    build: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        start = time.monotonic()
        assert publish("train", "course", "FINISHED", {}) is None
        assert time.monotonic() - start < PATIENCE
    assert len(caplog.records) == 1


def test_a_locked_database_costs_one_warning_and_little_time(build: Params, caplog: pytest.LogCaptureFixture) -> None:
    other = sqlite3.connect("mlflow.db")
    other.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    assert publish("train", "course", "FINISHED", {}) is None
    assert time.monotonic() - start < PATIENCE
    assert len(caplog.records) == 1
    other.rollback()
    other.close()
    assert publish("train", "course", "FINISHED", {})


def test_a_sink_never_holds_up_training_and_closes_in_time(build: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        sink = MlflowSink("course")
        start = time.monotonic()
        for step in range(20_000):
            sink.log({"train_loss": 1.0}, step)
        assert time.monotonic() - start < PATIENCE
        start = time.monotonic()
        sink.close()
        assert time.monotonic() - start < PATIENCE


def test_runs_left_open_by_a_dead_process_are_closed_and_others_are_not(build: Params) -> None:
    MlflowSink("course").close()
    publish("score", "course", "FINISHED", {})
    client, _ = open_store()
    run_id = runs()["score", "course"].info.run_id
    client.update_run(run_id, status="RUNNING")
    close_stale_runs()
    assert client.get_run(run_id).info.status == "RUNNING"
    machine = client.get_run(run_id).data.tags["run.process"].rpartition(":")[0]
    client.set_tag(run_id, "run.process", f"{machine}:99999999")
    close_stale_runs()
    assert client.get_run(run_id).info.status == "KILLED"


def test_a_store_is_made_once_by_however_many_come_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mlflow.db"
    made = []
    monkeypatch.setattr(Path, "replace", lambda part, target: (made.append(target), part.rename(target)))
    threads = [threading.Thread(target=create_store, args=(path,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [path]
    assert not list(tmp_path.glob(".mlflow*"))


def test_the_store_belongs_to_the_project_and_the_experiment_to_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert experiment_name() == "fashion-diffusion"
    write_json(WORKSPACE_MARK, {"project": "/somewhere", "profile": "demo"})
    assert experiment_name() == "fashion-diffusion-demo"
    assert tracking_address() == "sqlite:////somewhere/mlflow.db?timeout=2"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_address() == "http://tracking:5000"
