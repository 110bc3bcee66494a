"""Intervals around measured figures: how far a number would move with other images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range that holds it with the stated confidence."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The three numbers by name, for a metrics file."""
        return {"value": self.value, "low": self.low, "high": self.high}


def percentile_interval(value: float, resampled: Tensor, confidence: float) -> Interval:
    """The percentile bootstrap interval (Efron 1979).

    Args:
        value: the figure on the full sample.
        resampled: the same figure on each resample, shape (R,).
        confidence: probability inside, between 0 and 1.
    """
    tail = (1.0 - confidence) / 2.0
    edges = torch.tensor([tail, 1.0 - tail], dtype=torch.float64)
    low, high = torch.quantile(resampled.to(torch.float64), edges).tolist()
    return Interval(value, low, high)


def bootstrap_mean(values: Tensor, confidence: float, resamples: int, generator: torch.Generator) -> Interval:
    """The mean of independent values with its bootstrap interval.

    Args:
        values: one number per image, shape (N,).
        confidence: probability inside, between 0 and 1.
        resamples: number of bootstrap resamples.
        generator: source of the resampling.
    """
    return bootstrap(values, lambda chosen: chosen.mean().item(), confidence, resamples, generator)


def bootstrap(
    values: Tensor,
    statistic: Callable[[Tensor], float],
    confidence: float,
    resamples: int,
    generator: torch.Generator,
) -> Interval:
    """Any statistic of independent rows with its bootstrap interval.

    Args:
        values: one row per image, shape (N, ...).
        statistic: maps rows to a number.
        confidence: probability inside, between 0 and 1.
        resamples: number of bootstrap resamples.
        generator: source of the resampling.
    """
    values = values.to(torch.float64)
    count = len(values)
    draws = [statistic(values[torch.randint(count, (count,), generator=generator)]) for _ in range(resamples)]
    return percentile_interval(statistic(values), torch.tensor(draws, dtype=torch.float64), confidence)
