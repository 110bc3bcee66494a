"""The noise levels sigma of a training's scale and of a sampler, in plain numbers.

So a loader can ask for them without torch.
"""

import math

from models.sampler_spec import SigmaSamplerSpec
from models.spec import EdmSpec

SPAN = 3.0
"""The log-normal noise scale reaches this many standard deviations of ln(sigma) to either side of its mean."""

COSINE_RANGE = (1e-2, 1e2)
"""Smallest and largest sigma of the cosine density, in units of sigma_data."""

LARGEST_CHURN = math.sqrt(2.0) - 1.0
"""No step adds more noise than there is (Karras et al. 2022, algorithm 2)."""

SLACK = 1e-9
"""How far beyond an end of an interval a level counts as on it, since levels are powers of roots."""


def sigma_at(share: float, spec: EdmSpec) -> float:
    """Sigma at a share of the noise scale of training, evenly spaced in ln(sigma).

    Args:
        share: from 0 (weakest) to 1 (strongest).
        spec: the density, which sets the scale's ends: three standard deviations, or the range of the cosine.
    """
    if spec.density == "log_normal":
        return math.exp(spec.log_sigma_mean + spec.log_sigma_std * SPAN * (2.0 * share - 1.0))
    low, high = (math.log(spec.sigma_data * limit) for limit in COSINE_RANGE)
    return math.exp(low + share * (high - low))


def sigma_grid(steps: int, sigma_min: float, sigma_max: float, rho: float) -> list[float]:
    """The noise levels between which a sampler steps (Karras et al. 2022, equation 5).

    Args:
        steps: number of steps, at least 1.
        sigma_min: last level above 0.
        sigma_max: first level.
        rho: curvature: 1 is an even grid, larger values crowd the levels near ``sigma_min``.

    Returns:
        Falling levels, one more than steps; the last is exactly 0.
    """
    first, last = sigma_max ** (1.0 / rho), sigma_min ** (1.0 / rho)
    shares = (index / max(1, steps - 1) for index in range(steps))
    return [*(float((first + share * (last - first)) ** rho) for share in shares), 0.0]


def sampler_grid(sampler: SigmaSamplerSpec) -> list[float]:
    """The noise levels between which a sampler steps, those that it jumps over too; the last is exactly 0."""
    return sigma_grid(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)


def churned(sigma: float, churn: float, steps: int) -> float:
    """The level to which churn raises sigma before a step (Karras et al. 2022, algorithm 2).

    Args:
        sigma: the level before.
        churn: S_churn, shared out among the steps.
        steps: how many there are.
    """
    return sigma * (1.0 + min(churn / steps, LARGEST_CHURN))


def within(level: float, interval: tuple[float, float]) -> bool:
    """Whether a noise level lies in an interval, whose ends are part of it."""
    low, high = interval
    return low * (1.0 - SLACK) <= level <= high * (1.0 + SLACK)
