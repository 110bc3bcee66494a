"""Noise per image: a function of the seed and of nothing else."""

import pytest
import torch

from models.noise import ImageNoise


def test_noise_does_not_depend_on_the_rest_of_the_batch() -> None:
    together, alone = ImageNoise([3, 1, 4, 1]), ImageNoise([4])
    for _ in range(3):
        batch, single = together.draw(), alone.draw()
        assert torch.equal(batch[2], single[0])
        assert torch.equal(batch[1], batch[3])  # the same seed twice


def test_seeds_and_draws_give_different_noise() -> None:
    noise = ImageNoise([1, 2])
    first, second = noise.draw(), noise.draw()
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_noise_is_standard_normal() -> None:
    noise = ImageNoise(range(500)).draw()
    assert noise.shape == (500, 1, 28, 28)
    assert noise.dtype == torch.float32
    assert noise.mean().item() == pytest.approx(0.0, abs=0.01)
    assert noise.var().item() == pytest.approx(1.0, abs=0.01)
    assert noise.pow(4).mean().item() == pytest.approx(3.0, abs=0.05)


def test_neighbouring_seeds_are_uncorrelated() -> None:
    flat = ImageNoise(range(200)).draw().flatten(1)
    correlation = torch.corrcoef(flat) - torch.eye(200)
    assert correlation.abs().max().item() < 6 / 784**0.5


def test_seeds_have_32_bits() -> None:
    largest, smallest = ImageNoise([2**32 - 1, 0]).draw()
    assert not torch.equal(largest, smallest)
    with pytest.raises(ValueError, match=r"\[0, 4294967296\), got 1 to 4294967296"):
        ImageNoise([1, 2**32])


def test_torch_still_ignores_what_is_beyond_32_bits() -> None:
    """The reason for the bound: without it, images of different seeds could be the same."""
    low, high = (torch.randn(9, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7 + 2**32))
    assert torch.equal(low, high)


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    ImageNoise([7]).draw()
    assert torch.equal(torch.get_rng_state(), before)


def test_uniform_numbers_belong_to_the_image_too() -> None:
    together, alone = ImageNoise(range(2000)), ImageNoise([7])
    numbers = together.uniform()
    assert numbers.dtype == torch.float64
    assert torch.equal(numbers[7:8], alone.uniform())
    assert numbers.mean().item() == pytest.approx(0.5, abs=0.02)
    assert numbers.var().item() == pytest.approx(1 / 12, abs=0.005)
    assert 0.0 <= numbers.min().item() < numbers.max().item() < 1.0
    assert not torch.equal(together.uniform(), numbers)
