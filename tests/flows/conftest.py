"""A finished build of invented figures, and one empty MLflow store to copy from."""

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.environment import prepare_environment
from tasks.files import read_json, write_bytes, write_json
from tasks.lineage import training_marks
from tasks.params import Params
from tasks.paths import artifact, metrics_file
from tests.tasks.report_workspace import ROOT, build_workspace

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "MLFLOW_LOGGING_LEVEL": "WARNING"}


@contextmanager
def environment_restored() -> Iterator[None]:
    """Undo whatever the block puts into the environment."""
    kept = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(kept):
            del os.environ[name]
        os.environ.update(kept)


@contextmanager
def interrupted_by(number: signal.Signals) -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt within the block, also where the tests were started with it ignored."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture(autouse=True)
def untouched_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo whatever a test puts into the environment, and begin without what a developer has set."""
    with environment_restored():
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PIPELINE_PREFECT", "DVC_STAGE", "DVC_ROOT"):
            monkeypatch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Prefect servers that run one after another keep the tables that the first of them takes seconds to make."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables, which take seconds to make."""
    from tasks.tracking import create_store

    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in QUIET.items():
            patch.setenv(name, value)
        create_store(folder / "mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def invented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    """The outputs of every stage before the figures."""
    folder = tmp_path_factory.mktemp("invented")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        params = build_workspace()
        for variant in params.variants:
            write_json(artifact(variant, "model.json"), {"variant": variant, "config": training_marks(params.compute)})
            for entry in read_json(metrics_file("train", variant))["snapshots"]:
                write_bytes(artifact(variant, entry["file"]), b"weights of " + variant.encode())
    return folder, params


def lay_out(source: Path, store: Path, workspace: Path, patch: pytest.MonkeyPatch) -> None:
    """Make a working folder of a finished build and an empty store, and go there."""
    shutil.copytree(source, workspace)
    shutil.copy(store, workspace / "mlflow.db")
    patch.chdir(workspace)
    for name, value in QUIET.items():
        patch.setenv(name, value)
    prepare_environment()


@pytest.fixture
def build(invented: tuple[Path, Params], empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A working folder with a finished build and an empty MLflow store; returns its parameters."""
    lay_out(invented[0], empty_store, tmp_path / "workspace", monkeypatch)
    return invented[1]


def lock_up(*names: str) -> None:
    """Write ``dvc.lock`` as it is once stages have run on what lies in the workspace now; all of them if none is named.

    The stage that fetches, which has left nothing here, and dependencies on code are left out.
    """
    lock = read_json(Path("dvc.lock"))["stages"] if names else {}
    lock |= {name: entry for name, entry in _locked_stages() if not names or name in names}
    write_json(Path("dvc.lock"), {"schema": "2.0", "stages": lock})


def _locked_stages() -> Iterator[tuple[str, dict[str, Any]]]:
    params = YAML(typ="safe").load(Path("params.yaml"))
    for stage, definition in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        for variant in params["variants"] if "matrix" in definition else [""]:
            if stage not in ("fetch", "figures", "report"):
                yield f"{stage}@{variant}".rstrip("@"), _locked_stage(definition, variant, params)


def _locked_stage(definition: dict[str, Any], variant: str, params: dict[str, Any]) -> dict[str, Any]:
    def hashed(key: str, *left_out: str) -> list[dict[str, str]]:
        entries = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in definition.get(key, [])]
        names = [str(entry).replace("${item.variant}", variant) for entry in entries]
        return [{"path": name, "md5": _md5(Path(name))} for name in names if not name.endswith(left_out)]

    keys = [str(key).replace("${item.variant}", variant) for key in definition["params"]]
    values = {key: _under(params, key.split(".")) for key in keys}
    deps = hashed("deps", ".py", "data/raw", "${scorer.folder}")
    outs = [*hashed("outs"), *hashed("metrics"), *hashed("plots")]
    return {"params": {"params.yaml": values}, "deps": deps, "outs": outs}


def _under(content: Any, parts: list[str]) -> Any:
    return _under(content[parts[0]], parts[1:]) if parts else content


def _md5(path: Path) -> str:
    """Hash of a file; of a folder, a word that changes with the files in it."""
    if path.is_dir():
        return "-".join(_md5(file) for file in sorted(path.rglob("*")) if file.is_file()) + ".dir"
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else ""
