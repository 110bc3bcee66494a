"""Intervals: Wilson's against published and closed forms, the bootstrap's quantiles, width and coverage."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from models.intervals import (
    Interval,
    bootstrap,
    bootstrap_mean,
    percentile_interval,
    share_of,
    student_interval,
    student_quantile,
    wilson,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_an_interval_is_three_columns_of_a_table() -> None:
    assert Interval(0.5, 0.25, 1.0).columns("fid") == {"fid": 0.5, "fid_low": 0.25, "fid_high": 1.0}


def test_wilson_gives_the_published_figures() -> None:
    """Newcombe (1998), table I, method 3: 81/263, 15/148, 0/20 and 1/29 at 95 %."""
    found = [wilson(hits, total, 0.95) for hits, total in ((81, 263), (15, 148), (0, 20), (1, 29))]
    rounded = [(round(interval.low, 4), round(interval.high, 4)) for interval in found]
    assert rounded == [(0.2553, 0.3662), (0.0624, 0.1605), (0.0, 0.1611), (0.0061, 0.1718)]


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (7, 10), (10, 10), (431, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_wilson_agrees_with_scipy(hits: int, total: int, confidence: float) -> None:
    expected = stats.binomtest(hits, total).proportion_ci(confidence, method="wilson")
    found = wilson(hits, total, confidence)
    assert (found.value, found.low, found.high) == pytest.approx((hits / total, expected.low, expected.high), abs=1e-12)


def test_answers_that_all_agree_leave_a_width_in_closed_form() -> None:
    """With z of the confidence, n yes out of n give n / (n + z^2) to 1, and none the mirror image."""
    bound = 12 / (12 + stats.norm.ppf(0.975) ** 2)
    everyone, no_one = (share_of(torch.full((12,), answer), 0.95) for answer in (True, False))
    assert (everyone.value, everyone.high) == (1.0, 1.0)
    assert everyone.low == pytest.approx(bound, rel=1e-12)
    assert (no_one.value, no_one.low) == (0.0, 0.0)
    assert no_one.high == pytest.approx(1 - bound, rel=1e-12)


def test_share_counts_the_yes_answers() -> None:
    answers = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    assert share_of(answers, 0.9) == share_of(answers.bool(), 0.9) == wilson(3, 4, 0.9)


def test_percentiles_are_exact() -> None:
    interval = percentile_interval(0.5, torch.linspace(0.0, 1.0, 1001, dtype=torch.float64), confidence=0.9)
    assert interval.value == 0.5
    assert (interval.low, interval.high) == (pytest.approx(0.05), pytest.approx(0.95))


def test_interval_as_json() -> None:
    assert Interval(0.5, 0.4, 0.7).to_json() == {"value": 0.5, "low": 0.4, "high": 0.7}


def test_mean_interval_has_the_width_of_the_normal_one() -> None:
    """2 z s / sqrt(n) with s the standard deviation of the sample, and the sample's own mean inside."""
    values = 3.0 + 2.0 * normal(400)
    interval = bootstrap_mean(values, 0.95, 4000, generator(1))
    expected = 2 * stats.norm.ppf(0.975) * values.std(correction=0).item() / 400**0.5
    assert interval.value == pytest.approx(values.mean().item(), rel=1e-12)
    assert interval.high - interval.low == pytest.approx(expected, rel=0.05)
    assert interval.low < interval.value < interval.high


def test_coverage_of_a_normal_mean() -> None:
    """For n normal values the interval is mean +- z s, so it covers with P(|T| < z sqrt((n - 1) / n)), T of Student."""
    n, trials = 20, 300
    data = 1.0 + normal(trials, n)
    source = generator(2)
    intervals = [bootstrap_mean(row, 0.9, 200, source) for row in data]
    covered = sum(interval.low <= 1.0 <= interval.high for interval in intervals) / trials
    bound = stats.norm.ppf(0.95) * ((n - 1) / n) ** 0.5
    expected = 2 * stats.t.cdf(bound, df=n - 1) - 1
    assert covered == pytest.approx(expected, abs=3 * (expected * (1 - expected) / trials) ** 0.5)


def test_more_confidence_is_a_wider_interval() -> None:
    values = normal(100)
    wide, narrow = (bootstrap_mean(values, confidence, 500, generator()) for confidence in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_rows_are_resampled_whole() -> None:
    """Two columns that always add to zero still do in every resample."""
    values = normal(50, 1) * torch.tensor([1.0, -1.0], dtype=torch.float64)
    interval = bootstrap(values, lambda rows: rows.sum(dim=1).abs().max().item(), 0.95, 100, generator())
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_strata_of_fixed_size_count_no_difference_between_them_as_error() -> None:
    """Three classes of 100 whose means differ: half the width is z sqrt(sum of variances within / 3) / sqrt(n)."""
    strata = torch.arange(3).repeat(100)
    values = normal(300) + 10.0 * strata
    plain, stratified = (bootstrap_mean(values, 0.95, 4000, generator(1), given) for given in (None, strata))
    within = torch.stack([values[strata == k].var(correction=0) for k in range(3)]).mean().item()
    widths = [2 * stats.norm.ppf(0.975) * (part / 300) ** 0.5 for part in (values.var(correction=0).item(), within)]
    assert plain.high - plain.low == pytest.approx(widths[0], rel=0.05)
    assert stratified.high - stratified.low == pytest.approx(widths[1], rel=0.05)


def test_a_resample_has_as_many_of_every_stratum() -> None:
    strata = torch.tensor([2, 0, 2, 5, 0, 2])
    counted: list[tuple[int, ...]] = []

    def count(rows: Tensor) -> float:
        counted.append(tuple(rows.long().bincount(minlength=6).tolist()))
        return 0.0

    bootstrap(strata, count, 0.95, 50, generator(), strata)
    assert set(counted) == {(2, 0, 3, 0, 0, 1)}


def test_constant_values_have_no_width() -> None:
    interval = bootstrap_mean(torch.full((30,), 0.25), 0.95, 100, generator())
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_intervals_repeat_with_their_generator() -> None:
    assert bootstrap_mean(normal(50), 0.95, 100, generator(4)) == bootstrap_mean(normal(50), 0.95, 100, generator(4))


@pytest.mark.parametrize(("degrees", "published"), [(1, 12.706), (2, 4.303), (19, 2.093), (49, 2.010), (1000, 1.962)])
def test_student_quantiles_are_the_published_ones(degrees: int, published: float) -> None:
    assert student_quantile(degrees, 0.95) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 19, 49])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_student_quantiles_agree_with_scipy(degrees: int, confidence: float) -> None:
    expected = stats.t.ppf(0.5 + confidence / 2, df=degrees)
    assert student_quantile(degrees, confidence) == pytest.approx(expected, rel=1e-9)


def test_student_interval_is_symmetric() -> None:
    found = student_interval(2.0, 0.5, 19, 0.95)
    assert (found.low, found.value, found.high) == pytest.approx((2.0 - 1.0465, 2.0, 2.0 + 1.0465), abs=1e-4)


def test_student_interval_without_degrees_of_freedom_has_no_bounds() -> None:
    assert student_interval(2.0, 0.0, 0, 0.95) == Interval(2.0, -math.inf, math.inf)
