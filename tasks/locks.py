"""Locks by which processes of the project keep out of each other's way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import TryAgainError
from tasks.paths import WORK

LOCKS = WORK / "locks"
PRIVATE = 0o700


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: its file, which stays.
        seconds: how long another process that holds it is waited for.

    Raises:
        TryAgainError: that was not long enough.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=seconds).acquire():
            yield
    except Timeout:
        raise TryAgainError(str(path), "is held by another process", "one run at a time", "wait for it") from None
