"""Only the first of several signals unwinds; one that comes later hurries."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from flows.interruptions import SAME_REQUEST_SECONDS, one_interruption
from tests.flows.conftest import interrupted_by


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where the tests were started with its signal ignored."""
    with interrupted_by(signal.SIGINT):
        yield


@pytest.mark.usefixtures("interruptible")
def test_the_first_signal_raises_and_the_next_do_not() -> None:
    with one_interruption() as hurry:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert not hurry.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_a_later_signal_hurries(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_interruption() as hurry:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        later = time.monotonic() + SAME_REQUEST_SECONDS + 1.0
        monkeypatch.setattr(time, "monotonic", lambda: later)
        signal.raise_signal(signal.SIGINT)
        assert hurry.is_set()


def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with one_interruption():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_changes() -> None:
    seen: list[bool] = []

    def work() -> None:
        with one_interruption() as hurry:
            seen.append(hurry.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
