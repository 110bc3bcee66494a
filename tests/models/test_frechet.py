"""Fréchet and kernel distances against closed forms, scipy and torchmetrics, and their intervals against repetition."""

import math

import pytest
import scipy.linalg
import torch
from scipy import stats
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from models.frechet import (
    Moments,
    even_groups,
    frechet_distance,
    jackknife,
    kernel_distance,
    moments,
    polynomial_mmd,
)

ONE_SIGMA = 0.6826894921370859
"""The confidence at which an interval reaches one standard error."""


def one_stratum(rows: Tensor) -> Tensor:
    return torch.zeros(len(rows), dtype=torch.int64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(count: int, size: int = 6, seed: int = 0, shift: float = 0.0) -> Tensor:
    drawn = torch.randn((count, size), generator=generator(seed), dtype=torch.float64)
    mixing = torch.randn((size, size), generator=generator(99), dtype=torch.float64)
    return drawn @ mixing + shift


class PixelFeatures(nn.Module):
    """The first channel's pixels as features, so that a metric made for Inception can be fed known vectors."""

    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0].flatten(1)


def as_pictures(features: Tensor) -> Tensor:
    return features.reshape(-1, 1, 2, 3).expand(-1, 3, 2, 3)


def test_moments_are_the_mean_and_the_unbiased_covariance() -> None:
    fitted = moments(vectors(50).float())
    torch.testing.assert_close(fitted.mean, vectors(50).float().double().mean(dim=0))
    torch.testing.assert_close(fitted.covariance, vectors(50).float().double().mT.cov())


def test_diagonal_gaussians_have_the_closed_form() -> None:
    means = torch.tensor([[0.0, 1.0, -2.0], [0.5, 1.0, 1.0]], dtype=torch.float64)
    deviations = torch.tensor([[1.0, 2.0, 0.0], [3.0, 2.0, 0.5]], dtype=torch.float64)
    first, second = (Moments(m, torch.diag(d**2)) for m, d in zip(means, deviations, strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-12)


def test_equal_gaussians_are_at_distance_0_and_the_distance_is_symmetric() -> None:
    first, second = moments(vectors(40)), moments(vectors(30, seed=1, shift=0.3))
    assert frechet_distance(first, first) == pytest.approx(0.0, abs=1e-10)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)


def test_agrees_with_the_matrix_square_root_of_scipy() -> None:
    first, second = moments(vectors(40)), moments(vectors(30, seed=1, shift=0.3) * 1.5)
    root = scipy.linalg.sqrtm((first.covariance @ second.covariance).numpy()).real.trace()
    traces = first.covariance.trace() + second.covariance.trace() - 2.0 * root
    expected = (first.mean - second.mean).square().sum() + traces
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-9)


def test_singular_covariances_of_few_images_are_no_obstacle() -> None:
    few, many = vectors(4), vectors(2000, seed=1)
    distance = frechet_distance(moments(few), moments(many))
    assert math.isfinite(distance)
    assert distance > 0.0


def test_agrees_with_torchmetrics() -> None:
    real, made = vectors(80), vectors(60, seed=1, shift=0.4)
    metric = FrechetInceptionDistance(feature=PixelFeatures(), normalize=True, input_img_size=(3, 2, 3)).double()
    metric.set_dtype(torch.float64)
    metric.update(as_pictures(real), real=True)
    metric.update(as_pictures(made), real=False)
    assert frechet_distance(moments(made), moments(real)) == pytest.approx(metric.compute().item(), rel=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all:UserWarning")
def test_kernel_discrepancy_agrees_with_torchmetrics() -> None:
    real, made = vectors(40), vectors(40, seed=1, shift=0.4)
    metric = KernelInceptionDistance(feature=PixelFeatures(), normalize=True, subsets=1, subset_size=40)
    metric.set_dtype(torch.float64)
    metric.update(as_pictures(real), real=True)
    metric.update(as_pictures(made), real=False)
    assert polynomial_mmd(made, real) == pytest.approx(metric.compute()[0].item(), rel=1e-6)


def test_kernel_discrepancy_by_hand() -> None:
    first = torch.tensor([[0.0], [1.0]])
    second = torch.tensor([[1.0], [2.0], [-1.0]])
    within_first, within_second = 1.0, (27.0 + 0.0 + (-1.0)) / 3.0
    between = (3 * 1.0 + 8.0 + 27.0 + 0.0) / 6.0
    assert polynomial_mmd(first, second) == pytest.approx(within_first + within_second - 2.0 * between)


def test_kernel_distance_of_one_source_is_unbiased() -> None:
    pairs = [(vectors(40, 3, seed=s), vectors(60, 3, seed=500 + s)) for s in range(60)]
    values = [kernel_distance(made, real, 4, 0.95, generator()) for made, real in pairs]
    estimates = torch.tensor([found.value for found in values])
    assert estimates.mean().abs() < 3.0 * estimates.std() / math.sqrt(len(estimates))
    assert min(found.value for found in values) < 0.0


def test_kernel_interval_is_that_of_independent_blocks() -> None:
    made, real = vectors(30, seed=1, shift=0.4), vectors(47)
    source = generator(5)
    left, right = torch.randperm(30, generator=source), torch.randperm(47, generator=source)
    pairs = zip(left.tensor_split(3), right.tensor_split(3), strict=True)
    values = torch.tensor([polynomial_mmd(made[a], real[b]) for a, b in pairs], dtype=torch.float64)
    found = kernel_distance(made, real, 3, 0.95, generator(5))
    reach = 4.302652729911275 * values.std().item() / math.sqrt(3)  # Student's t of 2 degrees of freedom
    assert (found.low, found.value, found.high) == pytest.approx(
        (values.mean().item() - reach, values.mean().item(), values.mean().item() + reach)
    )


def test_kernel_distance_takes_fewer_blocks_where_images_are_few() -> None:
    found = kernel_distance(vectors(5), vectors(9, seed=1), 20, 0.95, generator())
    assert found.low < found.value < found.high


def test_jackknife_of_a_mean_is_the_classical_standard_error() -> None:
    rows = vectors(200)[:, :1]
    found = jackknife(rows, one_stratum(rows), lambda chosen: chosen.mean().item(), 200, 0.95, generator())
    error = stats.t.ppf(0.975, df=199) * rows.std().item() / math.sqrt(200)
    assert found.value == pytest.approx(rows.mean().item())
    assert (found.high - found.value, found.value - found.low) == pytest.approx((error, error), rel=1e-6)


def test_jackknife_of_the_frechet_distance_matches_its_scatter_over_fresh_sets() -> None:
    real = moments(vectors(5000, 3, seed=7))

    def distance(chosen: Tensor) -> float:
        return frechet_distance(moments(chosen), real)

    fresh = torch.tensor([distance(vectors(200, 3, seed=100 + s, shift=0.7)) for s in range(100)])
    images = vectors(200, 3, seed=3, shift=0.7)
    found = jackknife(images, one_stratum(images), distance, 50, ONE_SIGMA, generator())
    assert found.high - found.value == pytest.approx(fresh.std().item(), rel=0.3)


def test_jackknife_of_a_set_with_fixed_shares_of_every_class_matches_the_scatter_of_such_sets() -> None:
    """Two far classes in equal shares: groups that ignored the classes would see a mean that in fact never moves."""
    labels = torch.arange(2).repeat_interleave(200)

    def images(seed: int) -> Tensor:
        return vectors(400, 3, seed=seed) + 10.0 * labels[:, None]

    def mean(chosen: Tensor) -> float:
        return chosen.mean().item()

    fresh = torch.tensor([mean(images(100 + seed)) for seed in range(100)])
    found = jackknife(images(3), labels, mean, 50, ONE_SIGMA, generator())
    assert found.high - found.value == pytest.approx(fresh.std().item(), rel=0.3)
    blind = jackknife(images(3), torch.zeros_like(labels), mean, 50, ONE_SIGMA, generator())
    assert blind.high - blind.value > 3.0 * (found.high - found.value)


@pytest.mark.parametrize("per_class", [12, 30, 75])
def test_jackknife_of_few_images_a_class_does_not_take_the_classes_for_error(per_class: int) -> None:
    """Strata smaller than the number of groups, or no multiple of it; without a divisor 30 gave 2.8 times too much."""
    labels = torch.arange(10).repeat_interleave(per_class)

    def images(seed: int) -> Tensor:
        return vectors(len(labels), 1, seed=seed) + 10.0 * labels[:, None]

    def mean(chosen: Tensor) -> float:
        return chosen.mean().item()

    fresh = torch.tensor([mean(images(100 + seed)) for seed in range(200)])
    found = [jackknife(images(seed), labels, mean, 50, ONE_SIGMA, generator()) for seed in range(20)]
    reach = sum(interval.high - interval.value for interval in found) / len(found)
    assert reach == pytest.approx(fresh.std().item(), rel=0.2)


@pytest.mark.parametrize(
    ("sizes", "count"), [([100, 100], 50), ([75, 75], 25), ([12, 12], 12), ([60, 90], 30), ([97, 97], 50), ([7, 9], 7)]
)
def test_groups_are_as_many_as_divide_every_class(sizes: list[int], count: int) -> None:
    assert even_groups(torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), 50) == count


def test_jackknife_groups_hold_an_equal_share_of_every_class_in_whatever_order() -> None:
    labels = torch.tensor([2, 0, 1]).repeat(20)
    left: list[list[int]] = []

    def counted(chosen: Tensor) -> float:
        left.append(torch.bincount(chosen[:, 0].long(), minlength=3).tolist())
        return float(len(left))

    jackknife(labels[:, None].double(), labels, counted, 10, 0.95, generator())
    assert left == [[18, 18, 18]] * 10 + [[20, 20, 20]]


def test_twenty_blocks_and_fifty_groups_have_their_own_degrees_of_freedom() -> None:
    """The reach over the standard error is t of 19 and of 49 degrees, where both sets are large enough."""
    made, real = vectors(80, 2, seed=1), vectors(90, 2, seed=2)
    source = generator(5)
    cut = [torch.randperm(len(rows), generator=source).tensor_split(20) for rows in (made, real)]
    values = [polynomial_mmd(made[a], real[b]) for a, b in zip(*cut, strict=True)]
    found = kernel_distance(made, real, 20, 0.95, generator(5))
    assert found.high - found.value == pytest.approx(2.0930 * stats.sem(values), rel=1e-4)
    rows = vectors(50)[:, :1]
    mean = jackknife(rows, one_stratum(rows), lambda chosen: chosen.mean().item(), 50, 0.95, generator())
    assert mean.high - mean.value == pytest.approx(2.0096 * stats.sem(rows.flatten().tolist()), rel=1e-4)
