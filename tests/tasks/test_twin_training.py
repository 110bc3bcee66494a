"""An equal training of another variant is taken over where all of it is recorded and intact, and only there."""

import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

import flows.train
from tasks.config import PARAMS, load_params
from tasks.files import read_json, sha256_file, sha256_json, write_json
from tasks.lineage import stage_name
from tasks.locked_build import dvc_md5
from tasks.params import Params
from tasks.paths import artifact, metrics_file
from tasks.records import outputs_digest
from tasks.sample import run_sampling
from tasks.train import run_config, run_training
from tasks.twin_training import finished_twin, results_of
from tests.tasks.small_variants import COURSE, CPU, FROM_MOMENTS, SEED

ROOT = Path(__file__).parents[2]
CARD, SUMMARY = artifact("course", "model.json"), metrics_file("train", "course")
SNAPSHOT = artifact("course", "snapshots/step-0000004.safetensors")


class Steps:
    """A metric sink that keeps the steps it is told of: none where nothing is trained."""

    def __init__(self, *_: object) -> None:
        self.seen: list[int] = []

    def log(self, row: dict[str, Any], step: int) -> None:
        self.seen.append(step)

    def close(self) -> None:
        pass


def lock(*variants: str) -> None:
    """Record trainings as DVC does once their stages have ended."""
    outs = {name: [{"path": str(path), "md5": dvc_md5(path)} for path in results_of(name)] for name in variants}
    stages = {stage_name("train", name): {"outs": entries} for name, entries in outs.items()}
    write_json(Path("dvc.lock"), {"schema": "2.0", "stages": stages})


def train(variant: str, others: Iterable[str], **changes: Any) -> tuple[dict[str, Any], bool]:
    """The summary of a training that starts sampling elsewhere, and whether it took steps."""
    steps = Steps()
    summary = run_training(variant, replace(FROM_MOMENTS, **changes), CPU, SEED, steps, others)
    return summary, bool(steps.seen)


@pytest.fixture(scope="module")
def trained_course(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data and the course, trained and recorded."""
    folder = tmp_path_factory.mktemp("trained") / "build"
    shutil.copytree(drawn_data, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_training("course", COURSE, CPU, SEED)
        lock("course")
    return folder


@pytest.fixture
def recorded(trained_course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own working folder with the same in it."""
    shutil.copytree(trained_course, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_taken() -> bool:
    return finished_twin(run_config(COURSE, CPU, SEED), ["course"]) is not None


def test_the_results_are_the_outputs_of_the_stage() -> None:
    stage = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    entries = [*stage["outs"], *stage["metrics"], *(path for plot in stage["plots"] for path in plot)]
    assert {path.replace("${item.variant}", "course") for path in entries} == {
        str(path) for path in results_of("course")
    }


def test_what_is_taken_over_is_what_a_training_would_have_made_but_for_names_and_times(recorded: Path) -> None:
    taken, trained = train("start", ["flagship", "course"])
    own, _ = train("alone", [])
    assert not trained
    same = [path.relative_to("artifacts/alone") for path in Path("artifacts/alone").rglob("*.safetensors")]
    assert len(same) == 5
    for name in map(str, (*same, "noise_levels.csv")):
        assert sha256_file(artifact("start", name)) == sha256_file(artifact("alone", name)), name
    histories = [pd.read_csv(artifact(name, "history.csv")).drop(columns="seconds") for name in ("start", "alone")]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    cards = [read_json(artifact(name, "model.json")) for name in ("start", "alone")]
    seals = [card.pop("card_sha256") for card in cards]
    assert seals == [sha256_json(card) for card in cards]
    assert cards[0] == {**cards[1], "variant": "start", "taken_from": "course"}
    times = {key: taken[key] for key in ("seconds", "images_per_second")}
    assert taken == {**own, **times, "variant": "start", "taken_from": "course"}
    assert read_json(metrics_file("train", "start")) == json.loads(json.dumps(taken))
    assert times == {key: read_json(SUMMARY)[key] for key in times}
    assert not Path(".work/start").exists()
    assert {path.name for path in Path("artifacts/start").iterdir()} == {p.name for p in results_of("start")[:-1]}


def test_what_is_taken_over_can_be_sampled(recorded: Path) -> None:
    train("start", ["course"])
    params = load_params(ROOT / PARAMS)
    run_sampling("start", FROM_MOMENTS, replace(params.sample, per_class=10), CPU, SEED)
    assert artifact("start", "samples.npz").is_file()


def test_one_line_says_so(recorded: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tasks.twin_training"):
        train("start", ["course"])
    said = "start is not trained: it takes over the weights of course, whose training is the same"
    assert [entry.getMessage() for entry in caplog.records] == [said]


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("path", [*results_of("course")[:4], SNAPSHOT, SUMMARY], ids=lambda path: path.name)
@pytest.mark.parametrize("damage", [Path.unlink, alter], ids=["gone", "altered"])
def test_damaged_results_are_not_taken(path: Path, damage: Any, recorded: Path) -> None:
    assert is_taken()
    damage(path)
    assert not is_taken()


def test_damage_leads_to_a_training(recorded: Path) -> None:
    alter(artifact("course", "history.csv"))
    summary, trained = train("start", ["course"])
    assert trained
    assert "taken_from" not in summary


@pytest.mark.parametrize("path", [artifact("course", "model.safetensors"), SNAPSHOT], ids=lambda path: path.name)
def test_weights_that_are_not_those_of_their_card_are_not_taken_whatever_was_recorded(
    path: Path, recorded: Path
) -> None:
    alter(path)
    lock("course")
    assert not is_taken()


@pytest.mark.parametrize("path", [CARD, SUMMARY], ids=lambda path: path.name)
@pytest.mark.parametrize("text", ["{}", "[]", '{"identity": 7}', "{"])
def test_a_card_or_summary_that_tells_nothing_is_passed_over(path: Path, text: str, recorded: Path) -> None:
    path.write_text(text)
    lock("course")
    assert not is_taken()


def test_outputs_that_dvc_has_deleted_or_not_recorded_are_not_taken(recorded: Path) -> None:
    Path("dvc.lock").unlink()
    assert not is_taken()
    lock("course")
    assert is_taken()
    shutil.rmtree("artifacts/course")
    assert not is_taken()


@pytest.mark.parametrize(
    "changes",
    [
        {"training": replace(COURSE.training, lr=0.003)},
        {"process": replace(COURSE.process, times="stratified")},
        {"network": replace(COURSE.network, time_features=16)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_identity_is_not_taken(changes: dict[str, Any], recorded: Path) -> None:
    assert train("start", ["course"], **changes)[1]


def test_another_seed_or_precision_is_not_taken(recorded: Path) -> None:
    other = replace(CPU, precision="bfloat16")
    assert finished_twin(run_config(COURSE, CPU, SEED + 1), ["course"]) is None
    assert finished_twin(run_config(COURSE, other, SEED), ["course"]) is None


def test_weights_that_were_taken_over_are_not_handed_on_nor_back(recorded: Path) -> None:
    """So a variant that is asked for anew is trained anew, although another one has its weights."""
    train("start", ["course"])
    lock("course", "start")
    assert train("third", ["start"])[1]
    steps = Steps()
    run_training("course", COURSE, CPU, SEED, steps, ["start"])
    assert steps.seen


def test_mlflow_takes_results_for_the_same_whoever_was_trained(recorded: Path) -> None:
    train("start", ["course"])
    taken = outputs_digest("train", "start")
    train("start", [])
    assert outputs_digest("train", "start") == taken


def test_the_stage_asks_the_builds_other_variants(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params: Params = load_params(ROOT / PARAMS)
    small = replace(params, seed=SEED, compute=CPU, variants={"course": COURSE, "start": FROM_MOMENTS})
    monkeypatch.setattr(flows.train, "load_params", lambda: small)
    monkeypatch.setattr("tasks.live_tracking.MlflowSink", Steps)
    flows.train.train("start")
    assert read_json(metrics_file("train", "start"))["taken_from"] == "course"
    flows.train.train("course")  # which does not take itself for another
    assert "taken_from" not in read_json(SUMMARY)
