"""Intervals around measured figures: how far a number would move with other images."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

HALVINGS = 60
"""Bisections of an interval of about length 1 that reach the precision of a float."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range that holds it with the stated confidence."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The three numbers by name, for a metrics file."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def columns(self, name: str) -> dict[str, float]:
        """The three under keys of their own, for a row of a table: ``fid``, ``fid_low`` and ``fid_high``."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def last_true(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The largest number between two ends for which something holds, by bisection; ``low`` where it never does.

    Args:
        holds: true up to some number and false beyond it.
        low: lower end.
        high: upper end.
    """
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def wilson(hits: int, total: int, confidence: float) -> Interval:
    """A share of yes-or-no answers with its score interval (Wilson 1927).

    It stays within 0 and 1 and keeps its width where all answers agree, which leaves a bootstrap without any.

    Args:
        hits: number of yes answers.
        total: number of answers, at least 1.
        confidence: probability inside, between 0 and 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = hits / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    low = 0.0 if hits == 0 else centre - half  # exactly, where rounding would leave 1e-17
    return Interval(share, low, 1.0 if hits == total else centre + half)


def share_of(answers: Tensor, confidence: float) -> Interval:
    """The share of answers that are yes, with Wilson's interval.

    Args:
        answers: True or 1 for yes, False or 0 for no, shape (N,).
        confidence: probability inside, between 0 and 1.
    """
    return wilson(int(answers.sum()), len(answers), confidence)


def student_interval(value: float, standard_error: float, degrees: int, confidence: float) -> Interval:
    """The symmetric interval of a figure whose error is normal and was itself estimated (Student 1908).

    Args:
        value: the figure.
        standard_error: its estimated standard error.
        degrees: degrees of freedom of that estimate; with none, the interval has no bounds.
        confidence: probability inside, between 0 and 1.
    """
    reach = student_quantile(degrees, confidence) * standard_error if degrees else math.inf
    return Interval(value, value - reach, value + reach)


def student_quantile(degrees: int, confidence: float) -> float:
    """The t with P(|T| < t) = confidence for Student's T, by bisection of the angle atan(t / sqrt(degrees)).

    Args:
        degrees: degrees of freedom, at least 1.
        confidence: between 0 and 1.
    """
    angle = last_true(lambda angle: _student_inside(angle, degrees) < confidence, 0.0, math.pi / 2)
    return math.sqrt(degrees) * math.tan(angle)


def _student_inside(angle: float, degrees: int) -> float:
    """P(|T| < sqrt(degrees) tan(angle)), a finite sum (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    odd = degrees % 2
    term, total = math.cos(angle) if odd else 1.0, 0.0
    for power in range(odd, degrees - 1, 2):  # of the cosine in this term
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    total *= math.sin(angle)
    return 2.0 / math.pi * (angle + total) if odd else total


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


def bootstrap_mean(
    values: Tensor, confidence: float, resamples: int, generator: torch.Generator, strata: Tensor | None = None
) -> Interval:
    """The mean of independent values with its bootstrap interval; see :func:`bootstrap`."""
    return bootstrap(values, lambda chosen: chosen.mean().item(), confidence, resamples, generator, strata)


def bootstrap(
    values: Tensor,
    statistic: Callable[[Tensor], float],
    confidence: float,
    resamples: int,
    generator: torch.Generator,
    strata: Tensor | None = None,
) -> Interval:
    """Any statistic of independent rows with its bootstrap interval.

    Where the rows were drawn in fixed numbers, as many of each class, resampling all of them alike would count as error
    what is fixed by design; with ``strata`` each resample has as many rows of every stratum (Davison and Hinkley 1997,
    section 3.2).

    Args:
        values: one row per image, shape (N, ...).
        statistic: maps rows to a number.
        confidence: probability inside, between 0 and 1.
        resamples: number of bootstrap resamples.
        generator: source of the resampling.
        strata: the stratum of each row, int64 from 0, shape (N,); one for all if not given.
    """
    values = values.to(torch.float64)
    strata = torch.zeros(len(values), dtype=torch.int64) if strata is None else strata
    order = strata.argsort(stable=True)
    draws = [statistic(values[order[_resampled(strata[order], generator)]]) for _ in range(resamples)]
    return percentile_interval(statistic(values), torch.tensor(draws, dtype=torch.float64), confidence)


def _resampled(strata: Tensor, generator: torch.Generator) -> Tensor:
    """Positions drawn with replacement, for each of some sorted strata from its own."""
    sizes = torch.bincount(strata)
    begin = sizes.cumsum(0) - sizes
    shares = torch.rand(len(strata), generator=generator, dtype=torch.float64)
    return begin[strata] + (shares * sizes[strata]).long()
