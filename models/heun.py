"""Heun's method along the probability-flow ODE over sigma (Karras et al. 2022, equations 1 and 3).

The ODE is dx / dsigma = (x - D(x; sigma)) / sigma. Without churn all randomness is in the start. Shapes: B images
(B, 1, H, W).
"""

import itertools
import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from models.diffusion import SampleStep
from models.predictions import DrawNoise, Predict
from models.sigma_levels import churned


def heun(
    denoise: Predict, sigmas: Sequence[float], x: Tensor, noise: DrawNoise, churn: float = 0.0
) -> Iterator[SampleStep]:
    """Heun's method (Karras et al. 2022, algorithm 2): second order, two evaluations a step.

    With churn, each step first adds noise, from sigma to sigma * (1 + churn / steps) or sqrt(2) * sigma if that is
    less, and so becomes a little random (S_churn of the paper, at all levels, with S_noise = 1). The step to sigma 0 is
    Euler's, since the slope is not defined there.

    Args:
        denoise: D, told sigma.
        sigmas: falling levels that end with 0, one more than steps.
        x: the start, noisy images at ``sigmas[0]``.
        noise: what churn adds; not drawn from without it.
        churn: S_churn, 0 for none.
    """
    total = len(sigmas) - 1
    for index, (level, following) in enumerate(itertools.pairwise(sigmas)):
        sigma = churned(level, churn, total)
        if churn > 0.0:
            x = x + math.sqrt(sigma**2 - level**2) * noise()
        x0 = denoise(x, sigma)
        yield SampleStep(index, total, sigma, x, x0)
        slope = (x - x0) / sigma
        euler = x + (following - sigma) * slope
        if following > 0.0:
            ahead = (euler - denoise(euler, following)) / following
            x = x + (following - sigma) * 0.5 * (slope + ahead)
        else:
            x = euler
    yield SampleStep(total, total, 0.0, x, x)
