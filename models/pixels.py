"""Grey levels 0..255 and the real numbers the networks see: exact inverses, in both directions."""

from dataclasses import dataclass

import torch
from torch import Tensor

HALF = 127.5

PIXELS = 28 * 28
"""Of an image."""


@dataclass(frozen=True, eq=False, slots=True)
class PixelStatistics:
    """What centres and scales the pixels of a data set.

    Attributes:
        mean_image: mean of the images in grey levels, float64, shape (28, 28).
        std: standard deviation of the pixels around ``mean_image``, in grey levels.
    """

    mean_image: Tensor
    std: float


def pixel_statistics(images: Tensor) -> PixelStatistics:
    """The statistics of uint8 images (N, 28, 28), computed in float64."""
    pixels = images.to(torch.float64)
    mean_image = pixels.mean(dim=0)
    return PixelStatistics(mean_image, float((pixels - mean_image).square().mean().sqrt()))


def to_signed(images: Tensor) -> Tensor:
    """Map uint8 grey levels to [-1, 1].

    Args:
        images: uint8, any shape.

    Returns:
        float32 of the same shape: 0 becomes -1, 255 becomes 1.
    """
    return images.to(torch.float32) / HALF - 1.0


def from_signed(x: Tensor) -> Tensor:
    """Map [-1, 1] to the nearest uint8 grey level; values outside are clipped. Inverts :func:`to_signed` exactly."""
    return ((x.to(torch.float32) + 1.0) * HALF).round().clamp(0, 255).to(torch.uint8)


def to_unit(images: Tensor) -> Tensor:
    """Map uint8 grey levels to float32 in [0, 1]."""
    return images.to(torch.float32) / 255.0


def from_unit(x: Tensor) -> Tensor:
    """Map [0, 1] to the nearest uint8 grey level; values outside are clipped. Inverts :func:`to_unit` exactly."""
    return (x.to(torch.float32) * 255.0).round().clamp(0, 255).to(torch.uint8)
