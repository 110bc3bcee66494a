"""Where a result came from: the commit, what was changed since, the code that trained it, the hashes that DVC knows."""

import importlib.metadata
import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.files import sha256_file, sha256_json
from tasks.params import Compute
from tasks.paths import project_root

DEFINITION = Path("dvc.yaml")
LOCK = Path("dvc.lock")
TRAINING_MARKS = ("code_sha256", "torch", "device", "precision")
ORIGIN = ("git.", "mlflow.source.")
"""How the tags begin that say which state of the project a result was made from."""
GIT_SECONDS = 3.0
LARGEST_DIFF = 1 << 20
LARGEST_TAG = 500


def git_tags() -> dict[str, str]:
    """Commit, whether the tree differs from it, and files it does not know; nothing outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    untracked = _untracked_files()
    dirty = bool(untracked or _git("status", "--porcelain", "--untracked-files=no"))
    tags = {"git.commit": commit, "git.dirty": str(dirty).lower(), "mlflow.source.git.commit": commit}
    return tags | ({"git.untracked": ", ".join(untracked)[:LARGEST_TAG]} if untracked else {})


def git_diff() -> str:
    """What the tree changes in its commit, at most :data:`LARGEST_DIFF` characters."""
    return (_git("diff", "HEAD") or "")[:LARGEST_DIFF]


def _untracked_files() -> list[str]:
    """Files that git neither tracks nor ignores; DVC's lock, which every build writes, is none of its causes."""
    listed = _git("ls-files", "--others", "--exclude-standard", "--full-name", ":/") or ""
    return [path for path in listed.splitlines() if path != "dvc.lock"]


def software_tags() -> dict[str, str]:
    """Versions that a result may depend on."""
    return {"torch": importlib.metadata.version("torch")}


def training_marks(compute: Compute) -> dict[str, str]:
    """What a training's bits depend on beside its parameters and data: its code, torch, and what computes it.

    Args:
        compute: whose device and precision stand here as what ``auto`` means on this machine.
    """
    import torch

    from tasks.precision import chosen_precision
    from tasks.reproducibility import chosen_device

    device = chosen_device(compute.device)
    marks = (training_code_sha256(), torch.__version__, device.type, chosen_precision(compute, device))
    return dict(zip(TRAINING_MARKS, marks, strict=True))


def training_code_sha256() -> str:
    """Hash of the code that DVC holds the stage ``train`` to: a checkpoint made by other code is not resumed."""
    root = Path(__file__).parents[1]
    names = [name for name in read_yaml(root / DEFINITION)["stages"]["train"]["deps"] if name.endswith(".py")]
    return sha256_json({name: sha256_file(root / name) for name in names})


def dvc_tags(stage: str, variant: str | None, settled: bool) -> dict[str, str]:
    """The DVC stage and the md5 of its data dependencies; with ``settled``, of its outputs too.

    DVC writes ``dvc.lock`` after a stage has run, so while it runs only the hashes of earlier outputs are there.

    Args:
        stage: the stage's name.
        variant: its variant, or None.
        settled: the stage has run and ``dvc.lock`` tells of it.
    """
    name = stage_name(stage, variant)
    tags = {"dvc.stage": name}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.exp_name"] = experiment
    lock = read_yaml(LOCK).get("stages", {})
    known = {out["path"]: out.get("md5", "") for entry in lock.values() for out in entry.get("outs", [])}
    wanted = _dependencies(stage, variant)
    tags |= {f"dvc.dep.{path}.md5": known[path] for path in wanted if path in known}
    if settled:
        outs = lock.get(name, {}).get("outs", [])
        tags |= {f"dvc.out.{out['path']}.md5": out.get("md5", "") for out in outs}
    return tags


def stage_name(stage: str, variant: str | None) -> str:
    """A stage's name as DVC has it, such as ``train@course``."""
    return f"{stage}@{variant}" if variant else stage


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping as DVC reads it, empty if there is no such file; to be looked at, not changed.

    What has not changed is not read again: ``dvc.lock`` has thousands of lines.
    """
    if not path.is_file():
        return {}
    state = path.stat()
    return _parsed(path.absolute(), state.st_mtime_ns, state.st_ino, state.st_size)


@lru_cache(maxsize=8)
def _parsed(path: Path, *_: int) -> dict[str, Any]:
    content: dict[str, Any] | None = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return content or {}


def _dependencies(stage: str, variant: str | None) -> list[str]:
    definition = read_yaml(DEFINITION).get("stages", {}).get(stage, {})
    return [str(path).replace("${item.variant}", variant or "") for path in definition.get("deps", [])]


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=project_root(), capture_output=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
