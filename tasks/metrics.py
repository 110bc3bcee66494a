"""Where training sends its figures while it runs: a mirror that may be watched, never a place that is waited for."""

from collections.abc import Mapping
from typing import Protocol

Figures = Mapping[str, float | None]


class MetricSink(Protocol):
    """Takes the figures of a training step. Implementations return at once and never raise."""

    def log(self, row: Figures, step: int) -> None:
        """Take the figures of one step.

        Args:
            row: figures by column of the journal, such as ``train_loss`` and ``lr``; None where not measured.
            step: number of training steps done.
        """

    def close(self) -> None:
        """Send what is still held back, within a few seconds, and stop."""


class NullSink:
    """Takes figures and keeps none."""

    def log(self, row: Figures, step: int) -> None:
        """Ignore the figures."""

    def close(self) -> None:
        """Do nothing."""
