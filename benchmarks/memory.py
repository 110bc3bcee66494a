"""Memory that a piece of work takes beyond what its process held before."""

import ctypes
import gc
from pathlib import Path

RESET_PEAK = "5"
"""What proc(5) has written to ``clear_refs`` to begin a new peak."""


class AddedMemory:
    """Resident memory beyond that of the moment at which this was made, at its highest.

    A process also begins with the peak of the one that started it, and keeps blocks that are free. So the peak is begun
    anew, and what is free is given back first.
    """

    def __init__(self) -> None:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        self._before = _megabytes("VmRSS")

    @property
    def peak_mb(self) -> float:
        """The highest so far, in units of 2^20 bytes."""
        return _megabytes("VmHWM") - self._before


def _megabytes(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024
