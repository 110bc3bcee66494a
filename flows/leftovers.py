"""What variants left behind that are no longer in ``params.yaml``: stages that read whole folders must not meet it."""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.dvc_cache import DvcCache
from tasks.paths import ARTIFACTS, WORK
from tasks.strict_yaml import read_mapping

NAME = "${item.variant}"
"""Stands in ``dvc.yaml`` for the variant that a stage runs for."""
ASIDE = WORK / "leftovers"


def remove_leftovers(workspace: Path, variants: Iterable[str]) -> dict[str, Path | None]:
    """Remove the outputs of variants that a build does not have.

    Those that DVC's cache does not hold, such as what stages wrote that were not started by DVC, are moved to a new
    folder below ``.work/leftovers`` instead.

    Args:
        workspace: the folder that holds ``dvc.yaml``.
        variants: names of those that it has.

    Returns:
        The folder with what was moved by the names of the variants whose outputs are gone, in order; None where all
        was held.
    """
    found: dict[str, list[Path]] = {}
    for name, path in _leftovers(workspace, set(variants)):
        found.setdefault(name, []).append(path)
    return {name: _cleared(workspace, name, found[name]) for name in sorted(found)}


def _leftovers(workspace: Path, variants: set[str]) -> Iterator[tuple[str, Path]]:
    """Names of other variants, each with the path of an output within the workspace."""
    stages = read_mapping(workspace / "dvc.yaml")["stages"]
    fixed = {part for path in _outputs(stages.values()) if NAME not in path for part in Path(path).parts}
    for pattern in (path for path in _outputs(stages.values()) if NAME in path):
        for path in workspace.glob(pattern.replace(NAME, "*")):
            within = path.relative_to(workspace)
            name = _name_in(pattern, str(within))
            if name not in variants | fixed:
                yield name, within


def _outputs(stages: Iterable[dict[str, Any]]) -> Iterator[str]:
    for stage in stages:
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                yield entry if isinstance(entry, str) else next(iter(entry))


def _name_in(pattern: str, path: str) -> str:
    found = re.fullmatch(re.escape(pattern).replace(re.escape(NAME), "(.+)"), path)
    assert found
    return found[1]


def _cleared(workspace: Path, name: str, paths: list[Path]) -> Path | None:
    """Remove or move a variant's outputs; the folder that some were moved to, if any were."""
    held = _held(workspace, paths)
    for path in held:
        _remove(workspace / path)
    lost = [path for path in paths if path not in held]
    folder = _moved(workspace, lost, f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-") if lost else None
    _remove_if_empty(workspace / ARTIFACTS / name)
    return folder


def _held(workspace: Path, paths: list[Path]) -> list[Path]:
    """Those that ``dvc.lock`` names as they are, so that they can be found, and whose content the cache has."""
    from tasks.locked_build import LockedBuild, dvc_md5

    lock, cache = LockedBuild(workspace), DvcCache(workspace)
    sums = {path: dvc_md5(workspace / path, workspace) for path in paths}
    return [path for path, md5 in sums.items() if lock.holds({str(path): md5}) and cache.holds(md5)]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _moved(workspace: Path, paths: list[Path], prefix: str) -> Path:
    """Move paths of a workspace into a new folder, links as links; returns the folder."""
    (workspace / ASIDE).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=workspace / ASIDE))
    for path in paths:
        (folder / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.move(workspace / path, folder / path)
    return folder


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
