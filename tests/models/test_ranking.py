"""Ranking within groups: by hand, and its interval against closed forms."""

import math

import pytest
import torch
from scipy.stats import norm

from models.intervals import Interval, wilson
from models.ranking import auc_score_interval, auc_within, auc_within_interval, with_width
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


def hanley_mcneil(theta: float, m: int, n: int) -> float:
    """Variance of an AUC by Hanley and McNeil (1982), equation 1, with Q1 and Q2 of exponential distributions."""
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    return (theta * (1 - theta) + (m - 1) * (q1 - theta**2) + (n - 1) * (q2 - theta**2)) / (m * n)


@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 0.93, 1.0])
@pytest.mark.parametrize("size", [2, 10, 400])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_score_interval_ends_where_the_area_is_z_standard_errors_away(
    area: float, size: int, confidence: float
) -> None:
    z = norm.ppf(0.5 + confidence / 2)
    found = auc_score_interval(area, [(size, size)], confidence)
    assert 0.0 <= found.low <= area <= found.high <= 1.0
    assert found.high - found.low > 0.0
    for end in (found.low, found.high):
        assert abs(end - area) == pytest.approx(z * math.sqrt(max(0.0, hanley_mcneil(end, size, size))), abs=1e-7)


def test_unequal_sizes_enter_by_their_mean_and_their_product() -> None:
    """With m = 3 and n = 7 the inner terms are those of m = n = 5, and 25 pairs have become 21."""
    found = auc_score_interval(1.0, [(3, 7)], 0.95)
    z = norm.ppf(0.975)
    assert 1.0 - found.low == pytest.approx(z * math.sqrt(hanley_mcneil(found.low, 5, 5) * 25 / 21), rel=1e-9)
    assert found == auc_score_interval(1.0, [(7, 3)], 0.95)


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_groups_of_one_pair_are_yes_or_no_answers(hits: int) -> None:
    """Ten independent pairs, each ranked right or wrong, are ten answers, whose score interval is Wilson's."""
    found, expected = auc_score_interval(hits / 10, [(1, 1)] * 10, 0.95), wilson(hits, 10, 0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_nine_groups_of_a_kind_give_a_third_of_the_width() -> None:
    one, nine = (auc_score_interval(0.5, [(2000, 2000)] * groups, 0.95) for groups in (1, 9))
    assert (nine.high - nine.low) / (one.high - one.low) == pytest.approx(1 / 3, rel=1e-3)


def test_a_perfect_ranking_is_not_certain() -> None:
    found = auc_within_interval([(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0]))], 0.9, 50, generator(0))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.0 < found.low < 1.0
    assert found == auc_score_interval(1.0, [(2, 2)], 0.9)


def test_an_interval_that_has_a_width_is_left_alone() -> None:
    found = Interval(0.99, 0.97, 1.0)
    assert with_width(found, [(9, 9)], 0.95) is found
