"""How noise levels are drawn for a training batch: evenly spread numbers, and the densities they are mapped to."""

import math

import torch
from torch import Tensor

from models.sigma_levels import COSINE_RANGE
from models.spec import EdmSpec

TAIL = 1e-9
"""Probability cut off at either end of the distribution of sigma, so that no draw is 0 or infinite."""

NOISE_SIZES = (64.0, 32.0)
"""Sizes of image whose cosine schedule is taken over, at weak and at strong noise."""

IMAGE_SIZE = 28.0


def stratified_uniform(batch: int, generator: torch.Generator) -> Tensor:
    """Numbers from 0 to 1, one from each of ``batch`` equal ranges, in random order.

    Each is exactly uniform, while the batch as a whole covers the range evenly, which lowers the variance of the loss.

    Returns:
        float64, shape (batch,), on the generator's device.
    """
    order = torch.randperm(batch, generator=generator, device=generator.device)
    within = torch.rand(batch, generator=generator, dtype=torch.float64, device=generator.device)
    return (order + within) / batch


def sigma_quantile(u: Tensor, spec: EdmSpec) -> Tensor:
    """The sigma below which training draws a share of its noise levels.

    Args:
        u: shares, float64, from 0 to 1; cut at 1e-9 from either end.
        spec: the density and its parameters.

    Returns:
        float64, the shape of ``u``.
    """
    inside = u.clamp(TAIL, 1.0 - TAIL)
    if spec.density == "cosine":
        return spec.sigma_data * cosine_quantile(inside)
    return torch.exp(spec.log_sigma_mean + spec.log_sigma_std * torch.special.ndtri(inside))


def cosine_quantile(u: Tensor) -> Tensor:
    """Interpolated cosine schedule (Hoogeboom et al. 2023, section 3.1), as sigma for data of unit variance.

    The cosine schedule of larger images is taken over by shifting its log-SNR by 2 ln(noise size / image size), here
    that of 64 pixels at weak noise and of 32 at strong noise, and what is between them in between.

    Args:
        u: shares, from 0 (weak) to 1 (strong).
    """
    weak, strong = (_shifted_cosine(u, size) for size in NOISE_SIZES)
    return torch.exp(weak + u * (strong - weak))


def _shifted_cosine(u: Tensor, noise_size: float) -> Tensor:
    """Log sigma; the range is that of the density, shifted there and back."""
    factor = noise_size / IMAGE_SIZE
    low, high = (math.atan(limit * factor) for limit in COSINE_RANGE)
    return torch.log(torch.tan(low + u * (high - low))) - math.log(factor)
