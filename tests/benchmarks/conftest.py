"""The small prepared data set of the tests of tasks."""

from tests.tasks.conftest import drawn_data, workspace

__all__ = ["drawn_data", "workspace"]
