"""Ranking within groups: by hand, and its interval against closed forms."""

import math

import pytest
import torch
from scipy.stats import norm

from models.ranking import auc_within, auc_within_interval
from models.similarity import roc_auc


def normal(count: int, mean: float, seed: int) -> torch.Tensor:
    return mean + torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_groups_weigh_by_their_pairs() -> None:
    first = torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.5])  # 3 of 4 pairs
    second = torch.tensor([0.0]), torch.tensor([5.0])  # 0 of 1
    assert auc_within([first, second]) == pytest.approx(3 / 5)


def test_differences_between_groups_do_not_count() -> None:
    """Groups whose levels run against the kind deceive the area over all images, and not the one within groups."""
    good = normal(50, 0.5, 0), normal(10, 0.0, 1)
    shifted = normal(10, 100.5, 2), normal(50, 100.0, 3)
    pooled = roc_auc(torch.cat([good[0], shifted[0]]), torch.cat([good[1], shifted[1]]))
    assert pooled < 0.3
    assert auc_within([good, shifted]) > 0.5


def test_the_area_of_two_normal_distributions_lies_inside() -> None:
    """P(X > Y) is the normal distribution function at the distance over sqrt(2)."""
    groups = [(normal(200, 1.0 + shift, 4 + shift), normal(150, shift, 8 + shift)) for shift in (0, 3)]
    found = auc_within_interval(groups, 0.99, 400, generator(2))
    assert found.low < norm.cdf(1.0 / math.sqrt(2.0)) < found.high
    assert found.value == auc_within(groups)


def test_the_width_is_that_of_equal_distributions() -> None:
    """Where both kinds are the same, the variance is (P + N + 1) / (12 P N) (Mann and Whitney 1947)."""
    p, n = 300, 200
    found = auc_within_interval([(normal(p, 0.0, 3), normal(n, 0.0, 4))], 0.95, 2000, generator(5))
    expected = 2 * norm.ppf(0.975) * math.sqrt((p + n + 1) / (12 * p * n))
    assert found.high - found.low == pytest.approx(expected, rel=0.08)


def test_scores_that_never_overlap_are_ranked_perfectly() -> None:
    found = auc_within_interval([(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0]))], 0.9, 50, generator(0))
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
