"""Progress that suits where it is read: a bar on a terminal, a plain line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
Observer = Callable[[str, int, int], None]

logger = logging.getLogger(__name__)
PLAIN_SECONDS = 15.0
_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Have ``observer(title, done, total)`` called as work advances, for instance to show it in a web interface."""
    _observers.append(observer)


def forget(observer: Observer) -> None:
    """Stop calling an observer."""
    _observers.remove(observer)


def track(items: Iterable[Item], total: int, title: str, done: int = 0) -> Iterator[Item]:
    """Yield the items while showing how many are done, at what rate, and how long the rest will take.

    Args:
        items: what to pass on.
        total: number of items in all, those done earlier included.
        title: what is being done.
        done: number finished before this call, for work that is resumed.
    """
    counted = _with_observers(items, total, title, done)
    yield from (_bar if sys.stderr.isatty() else _lines)(counted, total, title, done)


def pace(rate: float) -> str:
    """How fast it goes, for items per second above 0: ``4.2/s``, or ``5.0 s each`` where they take longer than one."""
    return f"{rate:.1f}/s" if rate >= 1.0 else f"{1.0 / rate:.1f} s each"


def _with_observers(items: Iterable[Item], total: int, title: str, done: int) -> Iterator[Item]:
    for count, item in enumerate(items, start=done + 1):
        yield item
        for observer in _observers:
            observer(title, count, total)


def _bar(items: Iterable[Item], total: int, title: str, done: int) -> Iterator[Item]:
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=total, completed=done, rate="")
        start = time.monotonic()
        for count, item in enumerate(items, start=1):
            yield item
            bar.update(task, advance=1, rate=pace(count / (time.monotonic() - start)))


def _lines(items: Iterable[Item], total: int, title: str, done: int) -> Iterator[Item]:
    start = last = time.monotonic()
    for count, item in enumerate(items, start=done + 1):
        yield item
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS or (count == total and now - start >= PLAIN_SECONDS):
            last = now
            rate = (count - done) / (now - start)
            logger.info("%s: %d of %d, %s, %.0f s left", title, count, total, pace(rate), (total - count) / rate)
