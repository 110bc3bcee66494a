"""What DVC's cache truly holds: ``dvc.lock`` names results of which the cache may since have been cleared."""

import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path

FOLDER = ".dir"
"""Ends DVC's hash of a folder, under which the cache has the list of its files."""


class DvcCache:
    """The cache of a workspace.

    Args:
        workspace: the folder that holds ``.dvc``.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def holds(self, md5: str) -> bool:
        """Whether a file is there, or a folder with all of its files.

        Args:
            md5: DVC's hash of it.
        """
        if not self._object(md5).is_file():
            return False
        return not md5.endswith(FOLDER) or all(self._object(file).is_file() for file in self._listed(md5))

    def _listed(self, md5: str) -> list[str]:
        """The hashes of the files of a folder; of a damaged list, one that no file has."""
        try:
            return [entry["md5"] for entry in json.loads(self._object(md5).read_bytes())]
        except (ValueError, KeyError, TypeError):
            return ["damaged"]

    def _object(self, md5: str) -> Path:
        return self._objects / md5[:2] / md5[2:]

    @cached_property
    def _objects(self) -> Path:
        """The folder of all objects, for which DVC is asked, since settings in several places may have moved it."""
        command = [sys.executable, "-m", "dvc", "cache", "dir"]
        told = subprocess.run(command, cwd=self._workspace, capture_output=True, text=True, check=False).stdout.strip()
        return Path(told or self._workspace / ".dvc" / "cache") / "files" / "md5"
