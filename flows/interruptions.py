"""Ctrl-C and SIGTERM where stopping takes a while: the first one unwinds the program, later ones only hurry it."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAME_REQUEST_SECONDS = 2.0
"""Signals so soon after the first belong to it: a terminal or ``timeout`` may send one to several processes."""


@contextmanager
def one_interruption() -> Iterator[threading.Event]:
    """Let only the first SIGINT or SIGTERM raise what it raised before, however many follow.

    Signals that were ignored or not handled stay so. Outside the main thread, where none arrive, nothing changes.

    Yields:
        An event, set by a signal that comes some seconds after the first: whoever sent it wants an end now.
    """
    hurry = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield hurry
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard: list[float] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(time.monotonic())
        handler = before[signal.Signals(number)]
        if len(heard) == 1 and callable(handler):
            handler(number, frame)
        elif heard[-1] - heard[0] > SAME_REQUEST_SECONDS:
            hurry.set()

    handled = [number for number, handler in before.items() if callable(handler)]
    for number in handled:
        signal.signal(number, hear)
    try:
        yield hurry
    finally:
        for number in handled:
            signal.signal(number, before[number])
