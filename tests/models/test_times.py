"""Noise levels of a training batch: evenly spread, and distributed as the papers say."""

import math

import pytest
import torch
from torch.testing import assert_close

from models.sigma_levels import sigma_at
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


def published(u: float, image_d: float, noise_d_low: float, noise_d_high: float) -> float:
    """Sigma by the paper's formulas, with t = u from clean to noise: shifted cosines, interpolated in log-SNR."""
    t_min, t_max = math.atan(1e-2), math.atan(1e2)

    def shifted(noise_d: float) -> float:
        shift = 2 * math.log(noise_d / image_d)
        low, high = (math.atan(math.tan(t) * math.exp(shift / 2)) for t in (t_min, t_max))
        return -2 * math.log(math.tan(low + u * (high - low))) + shift

    logsnr = u * shifted(noise_d_low) + (1 - u) * shifted(noise_d_high)
    return math.exp(-logsnr / 2)


@pytest.mark.parametrize("u", [0.01, 0.25, 0.5, 0.75, 0.99])
def test_cosine_quantiles_are_the_interpolated_schedule_of_the_paper(u: float) -> None:
    found = cosine_quantile(torch.tensor(u, dtype=torch.float64)).item()
    assert found == pytest.approx(published(u, image_d=28.0, noise_d_low=32.0, noise_d_high=64.0))


@pytest.mark.parametrize(("u", "sigma"), [(0.1, 0.083), (0.25, 0.224), (0.75, 1.77), (0.9, 4.95), (0.99, 35.9)])
def test_cosine_quantiles_are_those_of_another_implementation(u: float, sigma: float) -> None:
    """Golden: k-diffusion's interpolated cosine for 28 pixels between 32 and 64, sigma_data 1, sigma 0.01 to 100."""
    assert cosine_quantile(torch.tensor(u, dtype=torch.float64)).item() == pytest.approx(sigma, rel=6e-3)


def test_images_smaller_than_their_schedule_see_weaker_noise() -> None:
    """A cosine schedule of its own size has its median at sigma 1."""
    assert published(0.5, 28.0, 28.0, 28.0) == pytest.approx(1.0)
    assert cosine_quantile(torch.tensor(0.5, dtype=torch.float64)).item() == pytest.approx(0.62, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_scale_of_a_cosine_density_ends_where_its_draws_end(share: float) -> None:
    spec = edm(density="cosine", log_sigma_mean=0.0, log_sigma_std=0.0)
    end = sigma_quantile(torch.tensor(share, dtype=torch.float64), spec).item()
    assert end == pytest.approx(sigma_at(share, spec), rel=1e-4)


def test_quantiles_rise() -> None:
    shares = torch.linspace(0, 1, 101, dtype=torch.float64)
    for spec in (edm(), edm(density="cosine", log_sigma_mean=0.0, log_sigma_std=0.0)):
        assert torch.all(sigma_quantile(shares, spec).diff() > 0.0)
