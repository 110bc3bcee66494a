"""Known damage to clean images, for the tests of every judge.

The scorer is fitted on Gaussian blur and Gaussian noise. The other kinds are kept for its test.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS_IN_SIGMAS = 3


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image with its own Gaussian, treating the outside as the edge repeated.

    Args:
        x: images, shape (B, 1, H, W).
        sigma: standard deviation per image in pixels, positive, shape (B,).

    Returns:
        Blurred images of the same shape; a constant image is unchanged.
    """
    radius = int(torch.ceil(RADIUS_IN_SIGMAS * sigma.max()).item())
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    rows = F.pad(x.transpose(0, 1), (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(rows, kernel[:, None, None, :], groups=len(x))
    return F.conv2d(rows, kernel[:, None, :, None], groups=len(x)).transpose(0, 1)


def add_noise(x: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of each image's own strength and clip to the range of pixels.

    Args:
        x: images in [0, 1], shape (B, 1, H, W).
        sigma: standard deviation per image, shape (B,).
        generator: source of the noise.

    Returns:
        Noisy images in [0, 1], same shape.
    """
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return (x + sigma[:, None, None, None] * noise).clamp(0.0, 1.0)


def box_blur(x: Tensor, side: int) -> Tensor:
    """Replace each pixel by the mean of the square around it, treating the outside as the edge repeated.

    Along each axis the light spreads as under a Gaussian of variance ``(side**2 - 1) / 12``.

    Args:
        x: images, shape (B, 1, H, W).
        side: of the square in pixels, odd.

    Returns:
        Blurred images of the same shape; a constant image is unchanged.
    """
    return _mean_around(x, side, side)


def motion_blur(x: Tensor, length: int) -> Tensor:
    """Replace each pixel by the mean along its row, as when the camera moves sideways; the edges are repeated.

    Args:
        x: images, shape (B, 1, H, W).
        length: of the path in pixels, odd.

    Returns:
        Blurred images of the same shape; an image that is constant along its rows is unchanged.
    """
    return _mean_around(x, 1, length)


def _mean_around(x: Tensor, height: int, width: int) -> Tensor:
    padded = F.pad(x, (width // 2, width // 2, height // 2, height // 2), mode="replicate")
    return F.avg_pool2d(padded, (height, width), stride=1)


def pixelate(x: Tensor, block: int) -> Tensor:
    """Sample down to the means of square blocks, and up again by repeating them.

    Args:
        x: images, shape (B, 1, H, W).
        block: side of the blocks in pixels; it divides H and W.

    Returns:
        Images of the same shape and the same mean, constant in each block.
    """
    return F.interpolate(F.avg_pool2d(x, block), scale_factor=block, mode="nearest")


def salt_and_pepper(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Turn pixels chosen at random black or white, either with the same probability.

    Args:
        x: images in [0, 1], shape (B, 1, H, W).
        share: probability of a pixel to be chosen, 0 to 1.
        generator: source of the choice.

    Returns:
        Images in [0, 1], same shape; pixels that were not chosen are unchanged.
    """
    drawn = torch.rand(x.shape, generator=generator, dtype=x.dtype)
    return torch.where(drawn < share, (drawn < share / 2).to(x.dtype), x)
