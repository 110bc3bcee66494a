"""Stopping signals are noted, the first one counts, and handlers are given back."""

import os
import signal
import threading

import pytest

from tasks.signals import STOPPING, stop_requests


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_noted_instead_of_obeyed(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in STOPPING]
    with stop_requests() as request:
        assert request.signal_number == 0
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signal_number == number
    assert [signal.getsignal(each) for each in STOPPING] == before


def test_outside_the_main_thread_signals_stay_as_they_are() -> None:
    seen: list[int] = []

    def work() -> None:
        with stop_requests() as request:
            seen.append(request.signal_number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]
