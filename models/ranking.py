"""How well a score ranks images of one kind above images of another, with its interval."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.intervals import Interval, percentile_interval
from models.similarity import roc_auc

Groups = Sequence[tuple[Tensor, Tensor]]
"""For each group, such as a class, the scores that should be high, (P,), and those that should be low, (N,)."""


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

    Args:
        groups: of each at least one score of either kind.
        confidence: probability inside the interval, between 0 and 1.
        resamples: number of bootstrap resamples (Efron 1979).
        generator: source of the resampling.
    """
    draws = [
        auc_within([(_resampled(high, generator), _resampled(low, generator)) for high, low in groups])
        for _ in range(resamples)
    ]
    return percentile_interval(auc_within(groups), torch.tensor(draws, dtype=torch.float64), confidence)


def _resampled(scores: Tensor, generator: torch.Generator) -> Tensor:
    return scores[torch.randint(len(scores), (len(scores),), generator=generator)]
