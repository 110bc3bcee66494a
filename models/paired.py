"""Two sets of yes-or-no answers to the same questions, compared pair by pair."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.intervals import Interval, bootstrap_mean


@dataclass(frozen=True, slots=True)
class PairedShares:
    """How often one model is right where another is wrong, on the same images.

    Attributes:
        difference: share right of the first less that of the second, -1 to 1.
        only_first: number of images on which the first alone is right.
        only_second: number of images on which the second alone is right.
        p_value: of McNemar's exact test, 0 to 1; see :func:`mcnemar_exact`.
    """

    difference: Interval
    only_first: int
    only_second: int
    p_value: float


def compare_paired(
    first: Tensor,
    second: Tensor,
    confidence: float,
    resamples: int,
    generator: torch.Generator,
    strata: Tensor | None = None,
) -> PairedShares:
    """Compare two models on the same images; the interval resamples images, and with each both its answers.

    Where the two are right and wrong on exactly the same images, the interval has no width; it does not mean certainty.

    Args:
        first: whether the first model is right on each image, bool, shape (N,).
        second: the same of the second model, image by image, bool, shape (N,).
        confidence: probability inside the interval, between 0 and 1.
        resamples: number of bootstrap resamples (Efron 1979).
        generator: source of the resampling.
        strata: such as the classes, with as many images each by design; see :func:`models.intervals.bootstrap`.
    """
    difference = bootstrap_mean(first.double() - second.double(), confidence, resamples, generator, strata)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return PairedShares(difference, only_first, only_second, mcnemar_exact(only_first, only_second))


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact conditional test (McNemar 1947; Fagerland, Lydersen and Laake 2013).

    If two models are equally good, an image on which exactly one of them is right is as likely to be either's:
    min(1, 2 P(X <= min(b, c))) with X binomial of b + c trials and probability 1/2.

    Args:
        only_first: b, number of images on which the first alone is right.
        only_second: c, number of images on which the second alone is right.
    """
    return min(1.0, 2.0 * _fair_tail(min(only_first, only_second), only_first + only_second))


def _fair_tail(hits: int, total: int) -> float:
    """P(X <= hits) for X binomial of ``total`` trials and probability 1/2, by logarithms, which cannot overflow."""
    counts = torch.arange(hits + 1, dtype=torch.float64)
    ways = math.lgamma(total + 1) - torch.lgamma(counts + 1) - torch.lgamma(total - counts + 1)
    return float(torch.logsumexp(ways - total * math.log(2.0), dim=0).exp())


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in their own order (Holm 1979).

    Rejecting where the adjusted value is below alpha keeps the chance of any false rejection at alpha, whatever the
    dependence between the tests.
    """
    total, largest = len(p_values), 0.0
    adjusted = [0.0] * total
    for rank, index in enumerate(sorted(range(total), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (total - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
