"""The raw archives: from a folder of the user's, from the official mirrors, or drawn here."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.archives import ARCHIVES, IMAGES, LABELS, MANIFEST, Archive, difference
from tasks.download import Downloader, back_off, https_client
from tasks.errors import IntegrityError, MissingResourceError
from tasks.files import sha256_file, write_atomically, write_bytes, write_json
from tasks.garments import draw_garments
from tasks.idx import encode_idx
from tasks.params import Data
from tasks.paths import RAW, metrics_file, project_root
from tasks.seeds import numpy_generator

logger = logging.getLogger(__name__)


def run_fetch(data: Data, seed: int) -> dict[str, Any]:
    """Fill ``data/raw`` with the four archives and a manifest of their sizes and sha256.

    Running it again gives the same files; a download that was broken off goes on where it stopped.

    Args:
        data: where to look, or how many garments to draw.
        seed: decides the drawn garments.

    Returns:
        The metrics, which are the manifest.

    Raises:
        IntegrityError: a file in a user's folder is not the official archive.
        MissingResourceError: no folder and no mirror has an archive, or a file cannot be read.
        TryAgainError: a download broke off, or the disk is full.
    """
    if data.source == "drawn":
        return draw_archives(data, seed)
    with https_client(data.timeout_s) as client:
        return gather_archives(data, Downloader(client, data.mirrors, data.attempts, back_off))


def gather_archives(data: Data, downloader: Downloader) -> dict[str, Any]:
    """Bring the official archives into ``data/raw``: from the first folder that has them, else by download.

    Args:
        data: folders to look in.
        downloader: used for what no folder has.

    Returns:
        The manifest. Errors as in :func:`run_fetch`.
    """
    folders = usable_folders(data.folders)
    for archive in ARCHIVES:
        found = _in_folders(archive, folders)
        origin = str(found.parent) if found else "a mirror"
        _place(found or downloader.fetch(archive), archive)
        logger.info("%s: from %s", archive.name, origin)
    return _record(drawn=False)


def draw_archives(data: Data, seed: int) -> dict[str, Any]:
    """Draw garments and write them under the names of the official archives; returns the manifest."""
    for split, per_class in (("train", data.drawn_per_class.train), ("test", data.drawn_per_class.test)):
        images, labels = draw_garments(per_class, numpy_generator(seed, f"garments/{split}"))
        write_bytes(RAW / IMAGES[split], encode_idx(images))
        write_bytes(RAW / LABELS[split], encode_idx(labels))
    return _record(drawn=True)


def usable_folders(folders: tuple[str, ...]) -> list[Path]:
    """The folders that exist, with environment variables and ``~`` expanded, relative to the project.

    One that names an unset or empty variable is left out.

    Raises:
        MissingResourceError: a variable is set to what is no folder.
    """
    expanded = {folder: os.path.expanduser(os.path.expandvars(folder)) for folder in folders}
    paths = {folder: project_root() / path for folder, path in expanded.items() if path and "$" not in path}
    for folder, path in paths.items():
        if folder.startswith("$") and not path.is_dir():
            what = f"{path} is no folder"
            raise MissingResourceError(folder, what, "one with the four archives", "correct or unset it")
    return [path for path in paths.values() if path.is_dir()]


def _in_folders(archive: Archive, folders: list[Path]) -> Path | None:
    for folder in folders:
        path = folder / archive.name
        if os.path.lexists(path):
            _require_official(path, archive)
            return path
    return None


def _require_official(path: Path, archive: Archive) -> None:
    wrong = difference(path, archive.bytes, archive.sha256)
    if wrong:
        expected = f"the official archive with {archive.bytes} bytes and sha256 {archive.sha256}"
        raise IntegrityError(str(path), wrong, expected, "replace or remove the file")


def _place(source: Path, archive: Archive) -> None:
    """Copy a file into ``data/raw``; what is renamed into place is the copy that was verified."""

    def copy(temporary: Path) -> None:
        shutil.copyfile(source, temporary)
        _require_official(temporary, archive)

    target = RAW / archive.name
    if not target.is_file() or difference(target, archive.bytes, archive.sha256):
        write_atomically(target, copy)


def _record(drawn: bool) -> dict[str, Any]:
    paths = [RAW / archive.name for archive in ARCHIVES]
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in paths}
    manifest = {"drawn": drawn, "files": files}
    write_json(MANIFEST, manifest)
    write_json(metrics_file("fetch"), manifest)
    return manifest


fetch_task = task(name="fetch", cache_policy=NO_CACHE)(run_fetch)
