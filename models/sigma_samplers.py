"""Samplers of the probability-flow ODE over sigma (Karras et al. 2022, equations 1 and 3).

The ODE is dx / dsigma = (x - D(x; sigma)) / sigma. Both samplers are deterministic: all randomness is in the start.
Shapes: B images (B, 1, H, W).
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from models.diffusion import SampleStep
from models.samplers import Predict


def sigma_grid(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """The noise levels that a sampler visits (Karras et al. 2022, equation 5).

    Args:
        steps: number of steps, at least 1.
        sigma_min: last level above 0.
        sigma_max: first level.
        rho: curvature: 1 is an even grid, larger values crowd the levels near ``sigma_min``.

    Returns:
        Falling levels, float64, shape (steps + 1,); the last is exactly 0.
    """
    ramp = torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    first, last = sigma_max ** (1.0 / rho), sigma_min ** (1.0 / rho)
    return torch.cat([(first + ramp * (last - first)) ** rho, torch.zeros(1, dtype=torch.float64)])


def heun(denoise: Predict, sigmas: Tensor, x: Tensor) -> Iterator[SampleStep]:
    """Heun's method without churn (Karras et al. 2022, algorithm 1): second order, two evaluations a step.

    The step to sigma 0 is Euler's, since the slope is not defined there.

    Args:
        denoise: D, told sigma.
        sigmas: falling levels that end with 0, shape (steps + 1,).
        x: the start, noise of standard deviation ``sigmas[0]``.
    """
    total = len(sigmas) - 1
    for index, (sigma, following) in enumerate(_pairs(sigmas)):
        x0 = denoise(x, _levels(sigma, x))
        yield SampleStep(index, total, sigma, x, x0)
        slope = (x - x0) / sigma
        euler = x + (following - sigma) * slope
        if following > 0.0:
            ahead = (euler - denoise(euler, _levels(following, x))) / following
            x = x + (following - sigma) * 0.5 * (slope + ahead)
        else:
            x = euler
    yield SampleStep(total, total, 0.0, x, x)


def dpmpp_2m(denoise: Predict, sigmas: Tensor, x: Tensor) -> Iterator[SampleStep]:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order from one evaluation a step.

    With no signal scaling (alpha = 1) and lambda = -ln(sigma), h = ln(sigma_i / sigma_(i+1)):

        x_(i+1) = exp(-h) * x_i + (1 - exp(-h)) * (D_i + h / (2 * h_previous) * (D_i - D_(i-1)))

    The first step has no past and the last one, to sigma 0, has infinite h: both are of first order.

    Args:
        denoise: D, told sigma.
        sigmas: falling levels that end with 0, shape (steps + 1,).
        x: the start, noise of standard deviation ``sigmas[0]``.
    """
    total = len(sigmas) - 1
    h = torch.log(sigmas[:-1] / sigmas[1:]).tolist()
    past: Tensor | None = None
    for index, (sigma, following) in enumerate(_pairs(sigmas)):
        x0 = denoise(x, _levels(sigma, x))
        yield SampleStep(index, total, sigma, x, x0)
        target = x0
        if past is not None and following > 0.0:
            target = x0 + h[index] / (2.0 * h[index - 1]) * (x0 - past)
        x = following / sigma * x + (1.0 - following / sigma) * target
        past = x0
    yield SampleStep(total, total, 0.0, x, x)


def _pairs(sigmas: Tensor) -> list[tuple[float, float]]:
    return list(itertools.pairwise(sigmas.tolist()))


def _levels(sigma: float, x: Tensor) -> Tensor:
    return torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
