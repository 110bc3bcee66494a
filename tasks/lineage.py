"""Where a result came from: the commit, what was changed since, and the hashes that DVC knows."""

import importlib.metadata
import os
import subprocess
from pathlib import Path
from typing import Any

from tasks.paths import project_root
from tasks.strict_yaml import read_mapping

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


def dvc_tags(stage: str, variant: str | None, settled: bool) -> dict[str, str]:
    """The DVC stage and the md5 of its data dependencies; with ``settled``, of its outputs too.

    DVC writes ``dvc.lock`` after a stage has run, so while it runs only the hashes of earlier outputs are there.

    Args:
        stage: the stage's name.
        variant: its variant, or None.
        settled: the stage has run and ``dvc.lock`` tells of it.
    """
    name = f"{stage}@{variant}" if variant else stage
    tags = {"dvc.stage": name}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.exp_name"] = experiment
    lock = _mapping(Path("dvc.lock")).get("stages", {})
    known = {out["path"]: out.get("md5", "") for entry in lock.values() for out in entry.get("outs", [])}
    wanted = _dependencies(stage, variant)
    tags |= {f"dvc.dep.{path}.md5": known[path] for path in wanted if path in known}
    if settled:
        outs = lock.get(name, {}).get("outs", [])
        tags |= {f"dvc.out.{out['path']}.md5": out.get("md5", "") for out in outs}
    return tags


def _dependencies(stage: str, variant: str | None) -> list[str]:
    definition = _mapping(Path("dvc.yaml")).get("stages", {}).get(stage, {})
    return [str(path).replace("${item.variant}", variant or "") for path in definition.get("deps", [])]


def _mapping(path: Path) -> dict[str, Any]:
    return read_mapping(path) if path.is_file() else {}


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=project_root(), capture_output=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
