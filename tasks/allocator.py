"""How the C library hands out memory: what a step has freed is kept for the next one.

By default glibc returns large blocks to the system as soon as they are free, and every step of a network asks for the
same ones again, page by page. What keeping them saves is in ``benchmarks/ALLOCATOR.md``. Every bit of every result
stays what it was.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), from glibc's malloc.h."""
LARGEST_INT = 2**31 - 1
LARGEST_KEPT_BLOCK = 2**30


def keep_freed_memory() -> bool:
    """Ask the C library to keep what is freed for later.

    Returns:
        Whether it agreed; libraries other than glibc have no such setting, and go on as before.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK) and mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
