"""Known damage: blurs against scipy, noise against its variance and its counts."""

import pytest
import torch
from scipy.ndimage import gaussian_filter, uniform_filter, uniform_filter1d
from torch import Tensor
from torch.testing import assert_close

from models.degrade import add_noise, box_blur, gaussian_blur, motion_blur, pixelate, salt_and_pepper


def images(count: int) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 1.2, 2.0])
def test_constant_images_are_unchanged(sigma: float) -> None:
    flat = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64).view(3, 1, 1, 1).expand(3, 1, 28, 28).contiguous()
    assert_close(gaussian_blur(flat, torch.full((3,), sigma, dtype=torch.float64)), flat)


@pytest.mark.parametrize("sigma", [0.9, 1.0, 1.2, 2.0])
def test_blur_parity_with_scipy(sigma: float) -> None:
    """Widths at which both round the radius of three sigmas alike."""
    x = images(2)
    blurred = gaussian_blur(x, torch.full((2,), sigma, dtype=torch.float64))
    expected = [torch.from_numpy(gaussian_filter(image[0].numpy(), sigma, mode="nearest", truncate=3)) for image in x]
    assert_close(blurred[:, 0], torch.stack(expected))


def test_each_image_has_its_own_blur() -> None:
    x, sigma = images(3), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    blurred = gaussian_blur(x, sigma)
    for image, width, result in zip(x, sigma.tolist(), blurred, strict=True):
        expected = gaussian_filter(image[0].numpy(), width, mode="nearest", radius=6)
        assert_close(result[0], torch.from_numpy(expected))


def test_noise_has_the_stated_variance_in_each_image() -> None:
    sigma = torch.tensor([0.02, 0.05, 0.1])
    grey = torch.full((3, 1, 200, 200), 0.5)
    noisy = add_noise(grey, sigma, torch.Generator().manual_seed(0))
    assert_close((noisy - grey).std(dim=(1, 2, 3)), sigma, rtol=0.02, atol=0.0)
    assert_close((noisy - grey).mean(dim=(1, 2, 3)), torch.zeros(3), rtol=0.0, atol=0.002)


def test_noise_stays_within_the_range_of_pixels() -> None:
    """On black, half of the noise is cut off: what is left has the mean sigma / sqrt(2 pi)."""
    noisy = add_noise(torch.zeros(1, 1, 300, 300), torch.tensor([0.2]), torch.Generator().manual_seed(0))
    assert noisy.min().item() == 0.0
    assert noisy.mean().item() == pytest.approx(0.2 / (2 * torch.pi) ** 0.5, rel=0.02)
    strong = add_noise(torch.full((1, 1, 28, 28), 0.5), torch.tensor([5.0]), torch.Generator().manual_seed(0))
    assert (strong.min().item(), strong.max().item()) == (0.0, 1.0)


def test_noise_repeats_with_its_generator() -> None:
    x = images(2).float()
    first, second = (add_noise(x, torch.tensor([0.1, 0.2]), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("side", [3, 5, 27])
def test_box_blur_parity_with_scipy(side: int) -> None:
    x = images(2)
    expected = [torch.from_numpy(uniform_filter(image[0].numpy(), side, mode="nearest")) for image in x]
    assert_close(box_blur(x, side)[:, 0], torch.stack(expected))


@pytest.mark.parametrize("length", [3, 5, 27])
def test_motion_blur_parity_with_scipy_along_the_rows(length: int) -> None:
    x = images(2)
    expected = uniform_filter1d(x[:, 0].numpy(), length, axis=2, mode="nearest")
    assert_close(motion_blur(x, length)[:, 0], torch.from_numpy(expected))


def test_box_blur_spreads_a_dot_by_its_variance() -> None:
    dot = torch.zeros(1, 1, 29, 29, dtype=torch.float64)
    dot[0, 0, 14, 14] = 1.0
    spread = box_blur(dot, 5)[0, 0]
    position = torch.arange(29, dtype=torch.float64) - 14.0
    assert (spread.sum(dim=0) * position**2).sum().item() == pytest.approx((5**2 - 1) / 12)


@pytest.mark.parametrize("block", [2, 4, 7, 14])
def test_pixelation_repeats_the_means_of_blocks(block: int) -> None:
    x = images(2)
    tiles = x.unfold(2, block, block).unfold(3, block, block).mean(dim=(-2, -1))
    assert_close(pixelate(x, block), tiles.repeat_interleave(block, dim=2).repeat_interleave(block, dim=3))


def test_salt_and_pepper_hit_as_many_pixels_as_stated_and_leave_the_others() -> None:
    """Counts of 90,000 pixels lie within four standard deviations of the binomial ones."""
    grey, share = torch.full((1, 1, 300, 300), 0.5), 0.1
    hit = salt_and_pepper(grey, share, torch.Generator().manual_seed(0))
    assert hit.unique().tolist() == [0.0, 0.5, 1.0]
    for level in (0.0, 1.0):
        spread = (90_000 * share / 2 * (1 - share / 2)) ** 0.5
        assert (hit == level).sum().item() == pytest.approx(90_000 * share / 2, abs=4 * spread)


def test_salt_and_pepper_on_all_pixels_leave_nothing_grey() -> None:
    hit = salt_and_pepper(images(2), 1.0, torch.Generator().manual_seed(0))
    assert hit.unique().tolist() == [0.0, 1.0]


def test_salt_and_pepper_repeat_with_their_generator() -> None:
    first, second, other = (salt_and_pepper(images(2), 0.2, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
