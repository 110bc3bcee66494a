"""What goes wrong with files ends a stage with one line and the exit code that schedulers are promised."""

import errno
import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from flows.stage import guarded
from models.build import build_diffusion
from tasks.checkpoint import Checkpoint, save_checkpoint
from tasks.figures.run import run_figures
from tasks.files import folder_written_atomically, read_json, read_table, write_arrays, write_json
from tasks.journal import Journal
from tasks.params import Sample
from tasks.paths import FIGURES, artifact
from tasks.sample import run_sampling
from tasks.score import run_scoring
from tasks.scorer_artifact import FOLDER, load_source, record_scorer
from tasks.snapshots import UNTRAINED, publish_snapshots, snapshot_name, snapshot_steps, take_snapshot
from tasks.weights import save_model
from tests.tasks.report_workspace import build_workspace
from tests.tasks.small_scorer import EVALUATE, SCORER, save_random_model, some_images
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, SEED

Work = Callable[[], Any]
SAMPLE = Sample(per_class=10, batch=100, trajectory_per_class=1)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file take another byte; the system refuses with an error of its own, as where space has run out."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def appending_to_the_journal() -> Work:
    journal = Journal(Path("journal.jsonl"), 0)
    return lambda: journal.append({"step": 1})


def saving_a_checkpoint() -> Work:
    return lambda: save_checkpoint(Path("run"), Checkpoint(1, {"a": torch.zeros(9)}, {}), {})


def saving_weights() -> Work:
    return lambda: save_model("course", torch.nn.Linear(2, 2), {})


def publishing_snapshots() -> Work:
    model = build_diffusion(COURSE.network, COURSE.process, SEED)
    for step in (UNTRAINED, *snapshot_steps(COURSE.training)):
        take_snapshot(Path("run"), model, step)
    return lambda: publish_snapshots("course", Path("run"), COURSE.training)


def drawing_figures() -> Work:
    def draw() -> None:
        with folder_written_atomically(FIGURES) as folder:
            Figure().savefig(folder / "empty.png")

    return draw


def writing_arrays() -> Work:
    return lambda: write_arrays(Path("a.npz"), {"a": np.zeros(3)})


@pytest.mark.parametrize(
    "prepared",
    [
        appending_to_the_journal,
        saving_a_checkpoint,
        saving_weights,
        publishing_snapshots,
        drawing_figures,
        writing_arrays,
    ],
    ids=lambda prepared: prepared.__name__.replace("_", " "),
)
def test_a_full_disk_is_code_75(prepared: Callable[[], Work], capfd: pytest.CaptureFixture[str]) -> None:
    work = prepared()
    before = files()

    def on_a_full_disk() -> None:
        with full_disk():
            work()

    assert guarded(on_a_full_disk, debug=False) == 75
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(": cannot be written (File too large); expected a writable disk; do free space")
    assert files() == before
    assert guarded(work, debug=False) == 0


def files() -> set[Path]:
    return {path for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("refused", "work"),
    [
        ("pathlib.Path.mkdir", lambda: write_json(Path("new/a.json"), {})),
        ("tempfile.mkstemp", lambda: write_json(Path("a.json"), {})),
        ("pathlib.Path.mkdir", drawing_figures()),
        ("tempfile.mkdtemp", drawing_figures()),
    ],
    ids=["folder of a file", "file", "folder of a folder", "folder"],
)
def test_what_a_full_disk_lets_nobody_create_is_code_75(
    refused: str, work: Work, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(refused, refuse)
    assert guarded(work, debug=False) == 75
    assert "cannot be written (No space left on device)" in capfd.readouterr().err


def damaged_samples() -> Work:
    save_random_model(Path("clip"))
    scorer = replace(SCORER, source="folder", folder="clip")
    record_scorer(FOLDER, load_source(FOLDER, scorer, torch.device("cpu"), None), scorer)
    write_arrays(artifact("course", "samples.npz"), {"images": some_images(3).numpy(), "seeds": np.arange(3)})
    return lambda: run_scoring("course", scorer, EVALUATE, CPU, SEED)


def trained(network: torch.nn.Module) -> None:
    """Leave a finished training's weights and card."""
    config = {name: asdict(getattr(COURSE, name)) for name in ("network", "process", "training")}
    save_model("course", network, {"config": json.loads(json.dumps(config)), "snapshots": []})


def altered_card(key: str, value: object) -> Callable[[], Work]:
    def prepared() -> Work:
        trained(build_diffusion(COURSE.network, COURSE.process, SEED))
        path = artifact("course", "model.json")
        write_json(path, {**read_json(path), key: value})
        return lambda: run_sampling("course", COURSE, SAMPLE, CPU, SEED)

    return prepared


def foreign_card() -> Work:
    write_json(artifact("course", "model.json"), {"config": []})
    return lambda: run_sampling("course", COURSE, SAMPLE, CPU, SEED)


def weights_of_another_network() -> Work:
    trained(build_diffusion(FLAGSHIP.network, FLAGSHIP.process, SEED))
    return lambda: run_sampling("course", COURSE, SAMPLE, CPU, SEED)


def snapshot_altered_before_it_is_published() -> Work:
    work, path = publishing_snapshots(), Path("run", snapshot_name(UNTRAINED))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    return work


def empty_history() -> Work:
    params = build_workspace()
    artifact("course", "history.csv").write_bytes(b"")
    return lambda: run_figures(params.variants, params.evaluate, params.seed)


def table_of(content: bytes) -> Callable[[], Work]:
    def prepared() -> Work:
        Path("t.csv").write_bytes(content)
        return lambda: read_table(Path("t.csv"))

    return prepared


@pytest.mark.parametrize(
    ("prepared", "expected"),
    [
        (damaged_samples, "artifacts/course/samples.npz: lacks images, labels or seeds"),
        (altered_card("weights_sha256", "0" * 64), "artifacts/course/model.json: was altered"),
        (altered_card("snapshots", [{"step": 0}]), "artifacts/course/model.json: was altered"),
        (altered_card("parameters", 1), "artifacts/course/model.json: was altered"),
        (foreign_card, "artifacts/course/model.json: was altered"),
        (weights_of_another_network, "artifacts/course/model.safetensors: holds other tensors than the network"),
        (snapshot_altered_before_it_is_published, "run/snapshots/step-0000000.safetensors: was altered"),
        (empty_history, "artifacts/course/history.csv: is damaged"),
        (table_of(b""), "t.csv: is damaged"),
        (table_of(b"a,b\n1,2\n1,2,3\n"), "t.csv: is damaged"),
        (table_of(b"\xff\xfe\xff\n"), "t.csv: is damaged"),
    ],
    ids=[
        "samples without labels",
        "card with another sha256 of the weights",
        "card with other snapshots",
        "card with another number of parameters",
        "card without a seal",
        "weights of another network",
        "snapshot altered before it is published",
        "empty history",
        "empty table",
        "table with a longer row",
        "table that is no text",
    ],
)
def test_a_damaged_file_is_code_3(
    prepared: Callable[[], Work], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    work = prepared()
    capfd.readouterr()
    assert guarded(work, debug=False) == 3
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"error: {expected}")
