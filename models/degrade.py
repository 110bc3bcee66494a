"""Known damage to clean images: the scorer learns its names, and every judge is tested on it."""

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
