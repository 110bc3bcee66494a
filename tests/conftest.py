"""Settings that must stand before torch is imported."""

import os

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # sooner asleep than in a build: tests share the cores
os.environ.setdefault("DO_NOT_TRACK", "1")

from flows.environment import collect_garbage_rarely

collect_garbage_rarely()

GIVEN = frozenset(os.environ)


def pytest_collection_finish() -> None:
    """Refuse test modules that change the environment of all others: builds under test would inherit it."""
    if "PREFECT_HOME" in set(os.environ) - GIVEN:
        raise pytest.UsageError("a test module sets the pipeline's environment when it is imported")
