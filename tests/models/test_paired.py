"""Paired comparisons: against closed forms, against scipy, and against what pairing must gain."""

import math

import pytest
import torch
from scipy.stats import binomtest, false_discovery_control, norm
from torch import Tensor

from models.paired import compare_paired, holm, mcnemar_exact


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def answers(*runs: tuple[bool, int]) -> Tensor:
    return torch.cat([torch.full((count,), value) for value, count in runs])


@pytest.mark.parametrize(
    ("only_first", "only_second", "expected"),
    [
        (0, 0, 1.0),  # no image tells them apart
        (3, 3, 1.0),  # 2 * 42/64 > 1
        (1, 7, 18 / 256),  # 2 * (1 + 8) / 2^8
        (0, 10, 2 / 1024),
        (5, 0, 2 / 32),
    ],
)
def test_mcnemar_in_closed_form(only_first: int, only_second: int, expected: float) -> None:
    assert mcnemar_exact(only_first, only_second) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("only_first", "only_second"), [(2, 9), (40, 61), (680, 14), (5000, 5200), (48_000, 49_000)])
def test_mcnemar_agrees_with_the_binomial_test_of_scipy(only_first: int, only_second: int) -> None:
    expected = binomtest(only_first, only_first + only_second).pvalue
    assert mcnemar_exact(only_first, only_second) == pytest.approx(expected, rel=1e-6)
    assert mcnemar_exact(only_second, only_first) == mcnemar_exact(only_first, only_second)


def test_mcnemar_rejects_equal_models_at_most_as_often_as_it_says() -> None:
    """Exact over all outcomes of 40 images on which one of two equally good models is right."""
    chances = [math.comb(40, k) / 2**40 for k in range(41)]
    rejected = sum(chance for k, chance in enumerate(chances) if mcnemar_exact(k, 40 - k) <= 0.05)
    assert 0.02 < rejected <= 0.05


def test_the_difference_is_that_of_the_shares_and_counts_the_disagreements() -> None:
    first = answers((True, 60), (True, 25), (False, 10), (False, 5))
    second = answers((True, 60), (False, 25), (True, 10), (False, 5))
    found = compare_paired(first, second, 0.95, 500, generator())
    assert found.difference.value == pytest.approx(0.85 - 0.70)
    assert (found.only_first, found.only_second) == (25, 10)
    assert found.p_value == pytest.approx(binomtest(10, 35).pvalue)


def test_the_interval_has_the_width_of_the_paired_normal_one() -> None:
    """Wald's interval of a paired difference: variance (b + c - (b - c)^2 / n) / n^2."""
    first = answers((True, 700), (True, 180), (False, 60), (False, 60))
    second = answers((True, 700), (False, 180), (True, 60), (False, 60))
    found = compare_paired(first, second, 0.95, 4000, generator(1)).difference
    error = math.sqrt((180 + 60 - 120**2 / 1000) / 1000**2)
    assert found.high - found.low == pytest.approx(2 * norm.ppf(0.975) * error, rel=0.05)


def test_pairing_is_worth_what_the_images_have_in_common() -> None:
    """Models that err on the same hard images are told apart by few; shuffling one of them destroys that."""
    first, second = answers((True, 720), (False, 280)), answers((True, 700), (False, 300))
    shuffled = second[torch.randperm(1000, generator=generator(3))]
    paired, broken = (compare_paired(first, other, 0.95, 1000, generator(2)) for other in (second, shuffled))
    assert paired.difference.value == pytest.approx(broken.difference.value)
    assert paired.difference.low > 0 > broken.difference.low
    assert paired.p_value < 1e-5 < broken.p_value


def test_the_interval_turns_with_the_models() -> None:
    first, second = answers((True, 30), (False, 70)), answers((False, 80), (True, 20))
    one, other = (compare_paired(*pair, 0.95, 500, generator(4)) for pair in ((first, second), (second, first)))
    assert other.difference.value == pytest.approx(-one.difference.value)
    assert (other.difference.low, other.difference.high) == pytest.approx((-one.difference.high, -one.difference.low))


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04; never smaller than the one before
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_holm_lies_between_no_adjustment_and_bonferroni_and_is_stricter_than_false_discovery_control() -> None:
    values = [0.001, 0.2, 0.013, 0.04, 0.9]
    for raw, found, looser in zip(values, holm(values), false_discovery_control(values), strict=True):
        assert raw <= found <= min(1.0, len(values) * raw)
        assert found >= looser - 1e-12
