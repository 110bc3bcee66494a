"""Copies of training images among other images, told by how much nearer the nearest one is than the second."""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK_ROWS = 256
COPY_RATIO = 1.0 / 3.0
"""An image is a copy where its nearest training image is this many times nearer than the second (Gu et al. 2023)."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near each of N images comes to a set of others.

    Attributes:
        first: root mean square difference per pixel to the nearest one, in grey levels, float64, shape (N,).
        second: the same to the second nearest, shape (N,).
    """

    first: Tensor
    second: Tensor

    @property
    def copies(self) -> Tensor:
        """Where the nearest is the same image or stands out as a copy's original does; bool, shape (N,)."""
        return (self.first == 0) | (self.first < COPY_RATIO * self.second)


def closeness(images: Tensor, others: Tensor) -> Closeness:
    """Distances to the two nearest of a set of images.

    Sums of squares of grey levels are whole numbers below 2^53, so that float64 makes them exact: an identical image
    lies at distance 0 and no other does. Memory grows with the number of ``others``.

    Args:
        images: uint8, shape (N, H, W).
        others: at least two, uint8, shape (M, H, W).
    """
    pixels, theirs = (batch.flatten(1).to(torch.float64) for batch in (images, others))
    lengths = theirs.square().sum(dim=1)
    nearest = [
        (lengths - 2.0 * rows @ theirs.T + rows.square().sum(dim=1, keepdim=True)).topk(2, largest=False).values
        for rows in torch.split(pixels, BLOCK_ROWS)
    ]
    first, second = (torch.cat(nearest) / pixels.shape[1]).sqrt().unbind(dim=1)
    return Closeness(first, second)
