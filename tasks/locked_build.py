"""What ``dvc.lock`` proves of the results in the workspace: whether they were made from what lies there today."""

import fnmatch
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.lineage import LOCK, read_yaml, stage_name
from tasks.paths import metrics_file

IGNORED = Path(".dvcignore")
ABSENT = object()


class LockedBuild:
    """The stages of ``dvc.lock``, held against parameters, code and metrics as they are now.

    Every file is hashed once and every stage judged once: an object serves one look at a workspace that stands still.
    Outputs of other stages are compared by the hashes that DVC noted, without reading them.

    Args:
        workspace: the folder that holds ``dvc.lock``.
    """

    def __init__(self, workspace: Path = Path()) -> None:
        self._workspace = workspace
        self._stages: dict[str, Any] = read_yaml(workspace / LOCK).get("stages", {})
        outs = [(out, name) for name, entry in self._stages.items() for out in entry.get("outs", [])]
        self._made = {out["path"]: (out.get("md5"), name) for out, name in outs}
        self._sums: dict[str, str] = {}
        self._reasons: dict[str, str] = {}

    def objection(self, stage: str, variant: str | None) -> str:
        """Why a stage's results may belong to other inputs than today's; empty if they are proved not to.

        The parameters and files that the stage read must be as it read them, what it read of other stages must be what
        those made last, the same must hold for those stages, and its metrics must be the ones it wrote.

        Args:
            stage: the stage's name.
            variant: its variant, or None.
        """
        return self._objection(stage_name(stage, variant))

    def holds(self, files: Mapping[str, str]) -> bool:
        """Whether these files were the outputs of stages; the workspace may have lost them since.

        Args:
            files: DVC's hash by path; none at all proves nothing.
        """
        return bool(files) and all(self._made.get(path, (None, None))[0] == md5 for path, md5 in files.items())

    def _objection(self, name: str) -> str:
        if name not in self._reasons:
            entry = self._stages.get(name)
            reasons = self._reasons_against(name, entry) if entry else iter([f"{LOCK} does not tell of {name}"])
            self._reasons[name] = next(reasons, "")
        return self._reasons[name]

    def _reasons_against(self, name: str, entry: dict[str, Any]) -> Iterator[str]:
        for file, values in entry.get("params", {}).items():
            today = read_yaml(self._workspace / file)
            yield from (f"{file}: {key} has changed" for key, value in values.items() if _value(today, key) != value)
        for dependency in entry.get("deps", []):
            yield from self._reasons_of_dependency(dependency["path"], dependency.get("md5"))
        metrics = str(metrics_file(*_parts(name)))
        if self._made.get(metrics) != (self._md5(metrics), name):
            yield f"{metrics} is not what {name} wrote"

    def _reasons_of_dependency(self, path: str, md5: str | None) -> Iterator[str]:
        made, maker = self._made.get(path, (None, None))
        if maker is None:
            if self._md5(path) != md5:
                yield f"{path} has changed"
            return
        if made != md5:
            yield f"{path} has been made anew by {maker}"
        if objection := self._objection(maker):
            yield objection

    def _md5(self, path: str) -> str:
        if path not in self._sums:
            self._sums[path] = dvc_md5(self._workspace / path, self._workspace)
        return self._sums[path]


def dvc_md5(path: Path, workspace: Path = Path()) -> str:
    """The hash by which DVC knows a file or a folder; empty if there is neither.

    Args:
        path: of it.
        workspace: the folder that says which files in others DVC ignores.
    """
    if path.is_dir():
        return _folder_md5(path, workspace / IGNORED)
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""


def _folder_md5(folder: Path, ignored: Path) -> str:
    """Hash of the list of a folder's files, those left out that DVC ignores."""
    names = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    lines = ignored.read_text().splitlines() if ignored.is_file() else []
    patterns = [line for line in lines if not line.startswith("#")]
    kept = sorted(name for name in names if not _is_ignored(name, patterns))
    listed = [{"md5": dvc_md5(names[name]), "relpath": name} for name in kept]
    return hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _is_ignored(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(part, pattern) for part in name.split("/") for pattern in patterns)


def _value(content: Any, key: str) -> Any:
    """What stands under a dotted key."""
    for part in key.split("."):
        content = content.get(part, ABSENT) if isinstance(content, dict) else ABSENT
    return content


def _parts(name: str) -> tuple[str, str | None]:
    stage, _, variant = name.partition("@")
    return stage, variant or None
