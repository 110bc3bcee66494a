"""Noise levels of a training batch: evenly spread, and distributed as the papers say."""

import math

import pytest
import torch
from torch.testing import assert_close

from models.times import cosine_quantile, sigma_quantile, stratified_uniform
from tests.models.processes import edm


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("batch", [1, 7, 128])
def test_stratified_numbers_take_one_from_each_range(batch: int) -> None:
    shares = stratified_uniform(batch, generator())
    assert torch.equal((shares.sort().values * batch).floor(), torch.arange(batch, dtype=torch.float64))


def test_each_stratified_number_is_uniform_and_not_tied_to_its_place() -> None:
    source = generator(3)
    draws = torch.stack([stratified_uniform(8, source) for _ in range(10_000)])
    assert_close(draws.mean(dim=0), torch.full((8,), 0.5, dtype=torch.float64), rtol=0.0, atol=0.012)
    assert_close(draws.std(dim=0), torch.full((8,), 12**-0.5, dtype=torch.float64), rtol=0.0, atol=0.012)


def test_log_normal_quantiles() -> None:
    """The median and the quantile one standard deviation above it."""
    shares = torch.tensor([0.5, 0.8413447460685429], dtype=torch.float64)
    assert_close(sigma_quantile(shares, edm()).log(), torch.tensor([-1.0, 0.2], dtype=torch.float64))


def test_cosine_quantiles_are_the_shifted_schedules_of_the_paper() -> None:
    """Golden: -logsnr / 2 of Hoogeboom et al. 2023, section 3.1, logsnr = -2 ln tan(pi t / 2) + 2 ln(28 / size)."""
    for u in (0.1, 0.5, 0.9):
        t = (math.atan(1e-2) + u * (math.atan(1e2) - math.atan(1e-2))) * 2 / math.pi
        shifted = [-2 * math.log(math.tan(math.pi * t / 2)) + 2 * math.log(28 / size) for size in (32, 64)]
        logsnr = (1 - u) * shifted[0] + u * shifted[1]
        assert cosine_quantile(torch.tensor(u, dtype=torch.float64)).item() == pytest.approx(math.exp(-logsnr / 2))


def test_quantiles_rise() -> None:
    shares = torch.linspace(0, 1, 101, dtype=torch.float64)
    for spec in (edm(), edm(density="cosine", log_sigma_mean=0.0, log_sigma_std=0.0)):
        assert torch.all(sigma_quantile(shares, spec).diff() > 0.0)
