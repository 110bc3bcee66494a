"""A finished build of invented figures, and one empty MLflow store to copy from."""

import os
import shutil
from pathlib import Path

import pytest

from flows.environment import prepare_environment
from tasks.config import Params
from tasks.files import read_json, write_bytes, write_json
from tasks.paths import artifact, metrics_file
from tests.tasks.report_workspace import build_workspace

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "MLFLOW_LOGGING_LEVEL": "WARNING"}


@pytest.fixture(autouse=True)
def untouched_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo whatever a test puts into the environment, and begin without what a developer has set."""
    kept = dict(os.environ)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PIPELINE_PREFECT", "DVC_STAGE", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ.update(kept)


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
            write_json(artifact(variant, "model.json"), {"variant": variant})
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
