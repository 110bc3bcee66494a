"""Where every file of the pipeline lies, relative to the workspace (the folder that holds ``dvc.yaml``)."""

import json
import os
from pathlib import Path

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
ARTIFACTS = Path("artifacts")
METRICS = Path("reports/metrics")
TABLES = Path("reports/tables")
FIGURES = Path("reports/figures")
REPORTS = Path("reports")
WORK = Path(".work")
WORKSPACE_MARK = Path(".workspace.json")
"""Lies in a profile's workspace and names the project that it was laid out from."""


def split_file(split: str) -> Path:
    """Arrays ``images`` uint8 [N, 28, 28] and ``labels`` int64 [N] of ``train``, ``val`` or ``test``."""
    return PREPARED / f"{split}.npz"


def artifact(owner: str, name: str) -> Path:
    """A file made by a variant, or by the judges ``critic`` and ``scorer``."""
    return ARTIFACTS / owner / name


def metrics_file(stage: str, variant: str | None = None) -> Path:
    """The metrics of a stage, or of one variant in a stage that runs per variant."""
    return METRICS / stage / f"{variant}.json" if variant else METRICS / f"{stage}.json"


def table_file(name: str) -> Path:
    """A CSV table of the report."""
    return TABLES / f"{name}.csv"


def project_root() -> Path:
    """The absolute root of the project, also from inside a profile's workspace or a DVC experiment's copy.

    Servers' data (MLflow's store, Prefect's home) belongs to the project, not to one of its workspaces.
    """
    workspace = Path.cwd()
    if (workspace / WORKSPACE_MARK).is_file():
        return Path(json.loads((workspace / WORKSPACE_MARK).read_text())["project"])
    return Path(os.environ.get("DVC_ROOT", workspace)).resolve()
