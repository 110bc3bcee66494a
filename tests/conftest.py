"""Settings that must stand before torch is imported."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # sooner asleep than in a build: tests share the cores
os.environ.setdefault("DO_NOT_TRACK", "1")

from flows.environment import collect_garbage_rarely

collect_garbage_rarely()
