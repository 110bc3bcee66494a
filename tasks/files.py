"""Atomic, deterministic reading and writing of every file the pipeline keeps.

A file is written under a temporary name in its own folder, flushed to disk and renamed; a reader sees the old content
or the new, never a part. Equal content gives equal bytes: no timestamps, fixed number formats, sorted keys.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from tasks.errors import IntegrityError, MissingResourceError, TryAgainError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Arrays = dict[str, np.ndarray[Any, Any]]
BLOCK_BYTES = 1 << 20


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Flush a file's content to disk."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say in one line what keeps ``path`` from being written.

    Errors of the pipeline pass, and so does FileNotFoundError: what is missing is something to be read.

    Args:
        path: the file or folder being written.

    Raises:
        TryAgainError: the disk is full or failing.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise TryAgainError(str(path), f"cannot be written ({reason})", "a writable disk", "free space") from error


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, then put it in the place of ``path`` in one step.

    Args:
        path: the file to create or replace; its folder is created if needed.
        write: called with the temporary path, whose suffix equals that of ``path``.

    Raises:
        TryAgainError: the disk is full or failing; the old file, if any, is untouched.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            sync_file(temporary)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces ``path`` once the block ends without an error.

    What killed processes left of the same folder is removed first, so no two may write it at a time.

    Args:
        path: the folder to create or replace; the one that it lies in is created if needed.

    Raises:
        TryAgainError: the disk is full or failing.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            yield temporary
            _flush_folder(temporary)
            replaced = temporary.with_name(f"{temporary.name}-old")
            if path.exists():
                path.replace(replaced)  # two renames: a kill leaves a whole folder or none, never half of one
            temporary.replace(path)
            sync_folder(path.parent)
            shutil.rmtree(replaced, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sha256_bytes(content: bytes) -> str:
    """Hexadecimal sha256 of ``content``."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file, read block by block."""
    digest = hashlib.sha256()
    with require_file(path).open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Hexadecimal sha256 of a JSON value, independent of the order of its keys."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def as_json(value: Any) -> Any:
    """A value as one reads it back from JSON: tuples become lists."""
    return json.loads(json.dumps(value))


def require_file(path: Path) -> Path:
    """Return ``path`` if it is a file.

    Raises:
        MissingResourceError: it is not; the stage that makes it has not run.
    """
    if not path.is_file():
        raise MissingResourceError(str(path), "is missing", "the output of an earlier stage", "run `dvc repro`")
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    write_atomically(path, lambda temporary: _fill(temporary, content))


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with sorted keys; NaN and infinity are refused, since JSON has no spelling for them."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MissingResourceError: there is no such file.
        IntegrityError: it does not hold a JSON object.
    """
    try:
        value = json.loads(require_file(path).read_bytes())
    except ValueError as error:
        raise IntegrityError(str(path), "is not JSON", "a JSON object", "rerun the stage that writes it") from error
    if not isinstance(value, dict):
        raise IntegrityError(str(path), "holds no object", "a JSON object", "rerun the stage that writes it")
    return value


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write named arrays as an uncompressed npz without objects; equal arrays give equal bytes."""
    write_atomically(path, lambda temporary: _save_arrays(temporary, arrays))


def read_arrays(path: Path) -> Arrays:
    """Read every array of an npz file; pickled objects are refused.

    Raises:
        MissingResourceError: there is no such file.
        IntegrityError: it is damaged.
    """
    try:
        with require_file(path).open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, EOFError, RuntimeError, BadZipFile, struct.error, zlib.error) as error:
        remedy = "rerun the stage that writes it"
        raise IntegrityError(str(path), "is damaged", "an npz archive of plain arrays", remedy) from error


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]") -> str:
    """Write named tensors as safetensors; equal tensors give equal bytes.

    Returns:
        The sha256 of the file.
    """
    import safetensors.torch

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(plain)  # its own writer hides what the system says of a full disk
    write_bytes(path, content)
    return sha256_bytes(content)


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV with shortest round-trip numbers and Unix line ends."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path) -> "pd.DataFrame":
    """Read a CSV table written by :func:`write_table`.

    Raises:
        MissingResourceError: there is no such file.
        IntegrityError: it is damaged.
    """
    import pandas as pd  # a third of a second, which stages without tables save

    try:
        return pd.read_csv(require_file(path))
    except ValueError as error:  # of which every error of pandas' parser is one
        remedy = "rerun the stage that writes it"
        raise IntegrityError(str(path), "is damaged", "a table of comma-separated values", remedy) from error


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary folders of earlier writes of ``path``: to DVC they are part of the folder they lie in."""
    for folder in path.parent.glob(f".{path.name}-*"):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _flush_folder(folder: Path) -> None:
    """Give a folder and all in it their permissions, and flush everything to disk."""
    for entry in [folder, *sorted(folder.rglob("*"))]:
        if entry.is_dir():
            entry.chmod(0o755)
            sync_folder(entry)
        else:
            entry.chmod(0o644)
            sync_file(entry)


def _fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _save_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    with path.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
