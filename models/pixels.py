"""Grey levels 0..255 and the real numbers the networks see: exact inverses, in both directions."""

import torch
from torch import Tensor

HALF = 127.5


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
