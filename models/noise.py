"""Chance that belongs to an image: the same seed gives the same picture, whatever else is in the batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

SEEDS = 2**32
"""Different seeds of torch's generator on the CPU, a Mersenne twister that is initialised from 32 bits."""


class ImageNoise:
    """One stream of random numbers per image.

    Args:
        seeds: one seed per image, each in [0, 2^32); equal seeds give equal noise.

    Raises:
        ValueError: a seed has more bits, which torch's generator on the CPU would ignore.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        if not all(0 <= seed < SEEDS for seed in seeds):
            raise ValueError(f"image seeds lie in [0, {SEEDS}), got {min(seeds)} to {max(seeds)}")
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(self) -> Tensor:
        """The next standard normal noise of every image.

        Returns:
            float32 on the CPU, shape (B, 1, 28, 28); row i depends on seed i and on the earlier draws alone.
        """
        return torch.stack([torch.randn(1, 28, 28, generator=generator) for generator in self._generators])

    def uniform(self) -> Tensor:
        """The next number from 0 up to, not including, 1 of every image.

        Returns:
            float64 on the CPU, shape (B,); as independent as what :meth:`draw` gives.
        """
        return torch.cat([torch.rand(1, generator=one, dtype=torch.float64) for one in self._generators])
