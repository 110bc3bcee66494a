"""Samplers of the probability-flow ODE over sigma (Karras et al. 2022, equations 1 and 3): the grid, and Heun's method.

The ODE is dx / dsigma = (x - D(x; sigma)) / sigma. Without churn all randomness is in the start. Those that remember
earlier evaluations are in ``models/multistep_samplers.py``. Shapes: B images (B, 1, H, W).
"""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from models.diffusion import SampleStep
from models.samplers import DrawNoise, Predict

LARGEST_CHURN = math.sqrt(2.0) - 1.0
"""No step adds more noise than there is (Karras et al. 2022, algorithm 2)."""


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


def heun(denoise: Predict, sigmas: Tensor, x: Tensor, noise: DrawNoise, churn: float = 0.0) -> Iterator[SampleStep]:
    """Heun's method (Karras et al. 2022, algorithm 2): second order, two evaluations a step.

    With churn, each step first adds noise, from sigma to sigma * (1 + churn / steps), and so becomes a little random
    (S_churn of the paper, at all levels, with S_noise = 1). The step to sigma 0 is Euler's, since the slope is not
    defined there.

    Args:
        denoise: D, told sigma.
        sigmas: falling levels that end with 0, shape (steps + 1,).
        x: the start, noise of standard deviation ``sigmas[0]``.
        noise: what churn adds; not drawn from without it.
        churn: S_churn, 0 for none.
    """
    total = len(sigmas) - 1
    for index, (level, following) in enumerate(pairs(sigmas)):
        sigma = churned(level, churn, total)
        if churn > 0.0:
            x = x + math.sqrt(sigma**2 - level**2) * noise()
        x0 = denoise(x, levels(sigma, x))
        yield SampleStep(index, total, sigma, x, x0)
        slope = (x - x0) / sigma
        euler = x + (following - sigma) * slope
        if following > 0.0:
            ahead = (euler - denoise(euler, levels(following, x))) / following
            x = x + (following - sigma) * 0.5 * (slope + ahead)
        else:
            x = euler
    yield SampleStep(total, total, 0.0, x, x)


def churned(sigma: float, churn: float, steps: int) -> float:
    """The level to which churn raises sigma before a step (Karras et al. 2022, algorithm 2).

    Args:
        sigma: the level before.
        churn: S_churn, shared out among the steps.
        steps: how many there are.
    """
    return sigma * (1.0 + min(churn / steps, LARGEST_CHURN))


def pairs(sigmas: Tensor) -> list[tuple[float, float]]:
    """Every level with the one that follows it."""
    return list(itertools.pairwise(sigmas.tolist()))


def levels(sigma: float, x: Tensor) -> Tensor:
    """The same level for every image, shape (B,)."""
    return torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
