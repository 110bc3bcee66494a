"""How well a score ranks images of one kind above images of another, with its interval."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor

from models.intervals import Interval, last_true, percentile_interval
from models.similarity import roc_auc

Groups = Sequence[tuple[Tensor, Tensor]]
"""For each group, such as a class, the scores that should be high, (P,), and those that should be low, (N,)."""
Sizes = Sequence[tuple[int, int]]
"""For each group the number of scores of either kind."""


def auc_within(groups: Groups) -> float:
    """The chance that, of two images of one group, the one that should score higher does; ties count half.

    The area under the ROC curve taken over pairs within groups only, so that scores which differ between groups for
    another reason do not count. Groups weigh by their number of pairs.

    Args:
        groups: of each at least one score of either kind.
    """
    pairs = [len(high) * len(low) for high, low in groups]
    areas = [roc_auc(high, low) for high, low in groups]
    return sum(area * weight for area, weight in zip(areas, pairs, strict=True)) / sum(pairs)


def auc_within_interval(groups: Groups, confidence: float, resamples: int, generator: torch.Generator) -> Interval:
    """:func:`auc_within` with a percentile bootstrap interval; each kind of each group is resampled by itself.

    Where all resamples agree, as under a perfect ranking, the interval is :func:`auc_score_interval`.

    Args:
        groups: of each at least two scores of either kind, since a single one is all its resamples and would count
            as known without error.
        confidence: probability inside the interval, between 0 and 1.
        resamples: number of bootstrap resamples (Efron 1979).
        generator: source of the resampling.
    """
    draws = [
        auc_within([(_resampled(high, generator), _resampled(low, generator)) for high, low in groups])
        for _ in range(resamples)
    ]
    found = percentile_interval(auc_within(groups), torch.tensor(draws, dtype=torch.float64), confidence)
    return with_width(found, [(len(high), len(low)) for high, low in groups], confidence)


def with_width(found: Interval, sizes: Sizes, confidence: float) -> Interval:
    """A bootstrap interval of an AUC, or the score interval where the bootstrap's has no width.

    Args:
        found: the AUC with its bootstrap interval.
        sizes: see :func:`auc_score_interval`.
        confidence: probability inside, between 0 and 1.
    """
    return auc_score_interval(found.value, sizes, confidence) if found.low == found.high else found


def auc_score_interval(area: float, sizes: Sizes, confidence: float) -> Interval:
    """An AUC with the score interval of Newcombe (2006), method 5, which keeps a width at 0 and at 1.

    Its ends are the theta with |theta - area| = z sqrt(V(theta)). For one group of m and n scores

        V(theta) = theta (1 - theta) (1 + (N - 1) ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m n)

    with N = (m + n) / 2, the variance of Hanley and McNeil (1982) with both sizes replaced by their mean in the inner
    terms. Over several groups the AUC is the mean weighted by pairs (:func:`auc_within`), and V the variance of that
    mean if theta is common to them: the sum of the groups' V, each times its squared weight.

    Args:
        area: from 0 to 1.
        sizes: of each group, both at least 1.
        confidence: probability inside, between 0 and 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    # V(theta) = V(1 - theta), so the upper end is the lower end of the mirror image
    return Interval(area, _lower_end(area, sizes, z), 1.0 - _lower_end(1.0 - area, sizes, z))


def _lower_end(area: float, sizes: Sizes, z: float) -> float:
    """The theta below the area at which the area is z standard errors away; 0 for an area of 0."""
    return last_true(lambda theta: area - theta > z * math.sqrt(_variance(theta, sizes)), 0.0, area)


def _variance(theta: float, sizes: Sizes) -> float:
    spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
    pairs = sum(m * n for m, n in sizes)
    return theta * (1 - theta) * sum(m * n * (1 + ((m + n) / 2 - 1) * spread) for m, n in sizes) / pairs**2


def _resampled(scores: Tensor, generator: torch.Generator) -> Tensor:
    return scores[torch.randint(len(scores), (len(scores),), generator=generator)]
