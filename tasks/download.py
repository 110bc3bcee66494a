"""Fetching one pinned archive over https: resumed where it broke off, tried again, never believed unverified."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from tasks.archives import Archive, difference
from tasks.errors import MissingResourceError, TryAgainError
from tasks.paths import WORK
from tasks.progress import track

STORE = WORK / "fetch"
QUARANTINE = STORE / "quarantine"
BLOCK_BYTES = 1 << 16
MOST_REDIRECTS = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

Pause = Callable[[int], None]


class _UnusableMirrorError(Exception):
    """The mirror does not have the archive; asking it again changes nothing."""


class _InterruptedError(Exception):
    """This attempt failed; the next one may succeed."""


@dataclass(frozen=True, slots=True)
class Downloader:
    """How to download.

    Attributes:
        client: from :func:`https_client`.
        mirrors: folders on the net, in the order in which they are tried.
        attempts: tries per mirror and archive.
        pause: called with the number of failed attempts before the next one.
    """

    client: httpx.Client
    mirrors: Sequence[str]
    attempts: int
    pause: Pause

    def fetch(self, archive: Archive) -> Path:
        """Bring an archive into the store, or find it there from an earlier run.

        Returns:
            The path of the verified archive.

        Raises:
            TryAgainError: the connection broke midway; what has arrived is kept and the next run goes on from there.
            MissingResourceError: no mirror gave the archive.
        """
        kept = STORE / archive.name
        if kept.is_file() and not _set_aside_if_wrong(kept, archive):
            return kept
        reasons = []
        for mirror in self.mirrors:
            try:
                return self._fetch_from(mirror, archive)
            except (_UnusableMirrorError, _InterruptedError) as error:
                reasons.append(f"{httpx.URL(mirror).host} {error}")
        raise _given_up(archive, reasons)

    def _fetch_from(self, mirror: str, archive: Archive) -> Path:
        failures = 0
        while True:
            try:
                return self._attempt(f"{mirror.rstrip('/')}/{archive.name}", archive)
            except _InterruptedError:
                failures += 1
                if failures >= self.attempts:
                    raise
                self.pause(failures)

    def _attempt(self, address: str, archive: Archive) -> Path:
        part = _part(archive)
        part.parent.mkdir(parents=True, exist_ok=True)
        resumed = _size(part)
        if resumed < archive.bytes:
            resumed = self._receive(address, archive, resumed)
        wrong = _set_aside_if_wrong(part, archive)
        if wrong and resumed:  # the bytes that were there before may be the wrong ones: once more, from the start
            raise _InterruptedError(f"sent a file that {wrong}")
        if wrong:
            raise _UnusableMirrorError(f"sent a file that {wrong}")
        return part.replace(STORE / archive.name)

    def _receive(self, address: str, archive: Archive, have: int) -> int:
        """Append what is missing to the part file; returns the number of old bytes that were kept."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with self.client.stream("GET", address, headers=headers) as response:
                _check_status(response, archive, have)
                kept = have if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
                _append(response.iter_raw(), archive, kept)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise _UnusableMirrorError(f"redirects to where no download is allowed ({error})") from error
        except httpx.TransportError as error:
            raise _InterruptedError(f"broke off ({type(error).__name__})") from error
        if _size(_part(archive)) < archive.bytes and "Content-Length" not in response.headers:
            raise _InterruptedError("broke off before the end")
        return kept


def https_client(timeout_s: float, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A client that follows redirects, to https addresses only.

    Args:
        timeout_s: longest silence of a server, in seconds.
        transport: what carries the requests; the network if None.
    """
    return httpx.Client(
        timeout=timeout_s,
        transport=transport,
        follow_redirects=True,
        max_redirects=MOST_REDIRECTS,
        event_hooks={"request": [_refuse_plain]},
    )


def back_off(failures: int) -> None:
    """Wait before the next attempt: twice as long each time up to half a minute, spread at random over +-50 %.

    The spread keeps many clients that failed together from returning together; it touches no result.
    """
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))
    time.sleep(longest * (0.5 + random.SystemRandom().random()))


def _part(archive: Archive) -> Path:
    return STORE / f"{archive.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _refuse_plain(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise httpx.UnsupportedProtocol(f"{request.url.scheme} instead of https")


def _check_status(response: httpx.Response, archive: Archive, have: int) -> None:
    status = response.status_code
    if status in PASSING_STATUSES:
        raise _InterruptedError(f"answered {status}")
    if have and status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        _part(archive).unlink()
        raise _InterruptedError(f"answered {status}")
    if status == httpx.codes.PARTIAL_CONTENT:
        wanted = f"bytes {have}-{archive.bytes - 1}/{archive.bytes}"
        found = response.headers.get("Content-Range", "nothing")
        if found != wanted:
            _part(archive).unlink(missing_ok=True)
            raise _InterruptedError(f"sent the range {found[:60]} instead of {wanted}")
    elif status != httpx.codes.OK:
        raise _UnusableMirrorError(f"answered {status}")


def _append(chunks: Iterator[bytes], archive: Archive, kept: int) -> None:
    """Write chunks behind the first ``kept`` bytes of the part file, at most one chunk beyond the pinned size.

    A part file grows in place, since its unfinished content is what the next attempt builds on.
    """
    try:
        with _part(archive).open("ab" if kept else "wb") as handle:
            blocks = _write(chunks, handle, archive.bytes)
            done, total = kept // BLOCK_BYTES, archive.bytes // BLOCK_BYTES
            for _ in track(blocks, total, f"{archive.name}, blocks of 64 KiB", done):
                pass
    except OSError as error:
        reason = error.strerror or str(error)
        subject = str(_part(archive))
        raise TryAgainError(subject, f"cannot be written ({reason})", "a writable disk", "free space") from error


def _write(chunks: Iterator[bytes], handle: BinaryIO, most: int) -> Iterator[int]:
    """Write every chunk as it comes, so that a broken connection costs nothing; yield the blocks completed."""
    for chunk in chunks:
        before = handle.tell()
        handle.write(chunk)
        yield from range(before // BLOCK_BYTES, min(handle.tell(), most) // BLOCK_BYTES)
        if handle.tell() > most:
            return


def _set_aside_if_wrong(path: Path, archive: Archive) -> str:
    """Move a file that is not the archive into quarantine; returns how it differs, empty if it is the archive."""
    wrong = difference(path, archive.bytes, archive.sha256)
    if wrong:
        QUARANTINE.mkdir(parents=True, exist_ok=True)
        path.replace(QUARANTINE / archive.name)
    return wrong


def _given_up(archive: Archive, reasons: list[str]) -> TryAgainError | MissingResourceError:
    what = "; ".join(reasons) or "is in none of the folders, and no mirror is configured"
    have = _size(_part(archive))
    if have:
        remedy = "run it again: the download goes on from there"
        return TryAgainError(archive.name, f"{what}; {have} of {archive.bytes} bytes are kept", "all of them", remedy)
    remedy = "put the four archives into data/incoming, or set FASHION_MNIST_DIR to their folder"
    return MissingResourceError(archive.name, what, "a folder or mirror that has it", remedy)
