"""Strict, bounded reading and deterministic writing of gzip-compressed IDX files, the format of Fashion-MNIST.

A file is read as what it must be: one gzip member, the exact header, exactly the announced bytes, nothing after them.
Whatever it claims, no more is decompressed than the caller allows for, plus one byte that proves an excess.
"""

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tasks.errors import IntegrityError
from tasks.files import require_file
from tasks.labels import IMAGE_SIZE, NUM_CLASSES

UNSIGNED_BYTE = 0x08
BLOCK_BYTES = 1 << 16
MOST_ITEMS = 1_000_000
"""Bound on the number of items where the caller does not know it."""
GZIP_WBITS = 31

Uint8Array = np.ndarray[Any, np.dtype[np.uint8]]
Int64Array = np.ndarray[Any, np.dtype[np.int64]]


def read_images(path: Path, count: int | None = None) -> Uint8Array:
    """Read an archive of images.

    Args:
        path: gzip-compressed IDX file of 28x28 unsigned bytes.
        count: number of images that it must hold; None accepts 1 to a million.

    Returns:
        uint8 array, shape (N, 28, 28).

    Raises:
        MissingResourceError: there is no such file.
        IntegrityError: it is anything else than described.
    """
    return _read(path, (IMAGE_SIZE, IMAGE_SIZE), count)


def read_labels(path: Path, count: int | None = None) -> Int64Array:
    """Read an archive of class labels.

    Args:
        path: gzip-compressed IDX file of unsigned bytes from 0 to 9.
        count: number of labels that it must hold; None accepts 1 to a million.

    Returns:
        int64 array, shape (N,).

    Raises:
        MissingResourceError: there is no such file.
        IntegrityError: it is anything else than described.
    """
    labels = _read(path, (), count)
    if labels.max() >= NUM_CLASSES:
        raise _refusal(path, f"holds the label {labels.max()}", f"labels from 0 to {NUM_CLASSES - 1}")
    return labels.astype(np.int64)


def encode_idx(values: Uint8Array) -> bytes:
    """Encode unsigned bytes of any shape as gzip-compressed IDX; no time or file name is recorded."""
    buffer = io.BytesIO()
    # GzipFile writes its header itself; gzip.compress leaves it to zlib, whose "made on" byte differs by platform.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=buffer, mtime=0) as archive:
        archive.write(_header(values.shape) + np.ascontiguousarray(values, dtype=np.uint8).tobytes())
    return buffer.getvalue()


class _Member:
    """The only gzip member of a file, decompressed no further than asked."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._inflater = zlib.decompressobj(wbits=GZIP_WBITS)

    def read(self, count: int) -> bytearray:
        """The next ``count`` bytes, or fewer where the member ends or the file is cut off."""
        content = bytearray()
        while len(content) < count and not self._inflater.eof:
            held = self._inflater.unconsumed_tail or self._handle.read(BLOCK_BYTES)
            block = self._inflater.decompress(held, min(count - len(content), BLOCK_BYTES))
            if not held and not block:
                break
            content += block
        return content

    def ending(self) -> str:
        """What is wrong with the end, once all that is expected was read; empty if nothing is."""
        if self.read(1):
            return "holds more than it announces"
        if not self._inflater.eof:
            return "ends in the middle of its gzip member"
        if self._inflater.unused_data or self._handle.read(1):
            return "goes on after its gzip member"
        return ""


def _header(shape: tuple[int, ...]) -> bytes:
    return bytes([0, 0, UNSIGNED_BYTE, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)


def _read(path: Path, item: tuple[int, ...], count: int | None) -> Uint8Array:
    try:
        with require_file(path).open("rb") as handle:
            member = _Member(handle)
            shape = (_read_count(path, member, item, count), *item)
            size = math.prod(shape)
            content = member.read(size)
            problem = f"holds {len(content)} of {size} bytes" if len(content) < size else member.ending()
    except zlib.error as error:
        raise _refusal(path, "is not gzip, or damaged", "one intact gzip member") from error
    if problem:
        raise _refusal(path, problem, f"exactly {size} bytes of data in one gzip member")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _read_count(path: Path, member: _Member, item: tuple[int, ...], count: int | None) -> int:
    length = len(_header((0, *item)))
    found = bytes(member.read(length))
    announced = int.from_bytes(found[4:8], "big")
    wanted = _header((announced if count is None else count, *item))
    if found != wanted:
        raise _refusal(path, f"begins with {found.hex() or 'nothing'}", f"the IDX header {wanted.hex()}")
    if not 1 <= announced <= MOST_ITEMS:
        raise _refusal(path, f"announces {announced} items", f"1 to {MOST_ITEMS}")
    return announced


def _refusal(path: Path, what: str, expected: str) -> IntegrityError:
    return IntegrityError(str(path), what, expected, "replace the file, then rerun the fetch stage")
