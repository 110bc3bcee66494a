"""What a piece of work takes at its highest is told, and nothing that the process took before."""

import pytest

from benchmarks.memory import AddedMemory

MB = 2**20


def test_the_peak_is_that_of_the_work_alone() -> None:
    before = bytearray(96 * MB)  # zeros are written, so the pages are resident
    before[:: 2**12] = b"x" * (96 * MB // 2**12)
    del before
    memory = AddedMemory()
    assert memory.peak_mb < 8.0
    work = bytearray(32 * MB)
    work[:: 2**12] = b"x" * (32 * MB // 2**12)
    del work
    assert memory.peak_mb == pytest.approx(32.0, abs=4.0)
