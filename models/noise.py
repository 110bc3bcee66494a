"""Chance that belongs to an image: the same seed gives the same picture, whatever else is in the batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


class ImageNoise:
    """One stream of random numbers per image.

    Args:
        seeds: one seed per image, each in [0, 2^63).
    """

    def __init__(self, seeds: Sequence[int]) -> None:
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
