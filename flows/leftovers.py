"""What variants left behind that are no longer in ``params.yaml``: stages that read whole folders must not meet it."""

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tasks.paths import ARTIFACTS
from tasks.strict_yaml import read_mapping

NAME = "${item.variant}"
"""Stands in ``dvc.yaml`` for the variant that a stage runs for."""


def remove_leftovers(workspace: Path, variants: Iterable[str]) -> list[str]:
    """Remove the outputs of variants that a build does not have; DVC's cache still holds them.

    Args:
        workspace: the folder that holds ``dvc.yaml``.
        variants: names of those that it has.

    Returns:
        The names of the variants whose outputs were removed, in order.
    """
    stages = read_mapping(workspace / "dvc.yaml")["stages"]
    fixed = {part for path in _outputs(stages.values()) if NAME not in path for part in Path(path).parts}
    kept, gone = {*variants, *fixed}, set()
    for pattern in (path for path in _outputs(stages.values()) if NAME in path):
        for path in workspace.glob(pattern.replace(NAME, "*")):
            name = _name_in(pattern, str(path.relative_to(workspace)))
            if name not in kept:
                _remove(path)
                gone.add(name)
    for name in gone:
        _remove_if_empty(workspace / ARTIFACTS / name)
    return sorted(gone)


def _outputs(stages: Iterable[dict[str, Any]]) -> Iterator[str]:
    for stage in stages:
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                yield entry if isinstance(entry, str) else next(iter(entry))


def _name_in(pattern: str, path: str) -> str:
    found = re.fullmatch(re.escape(pattern).replace(re.escape(NAME), "(.+)"), path)
    assert found
    return found[1]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
