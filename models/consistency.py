"""Consistency models (Song et al. 2023): from any noise level to the clean image in one jump, or in a few.

A trained denoiser D is tuned until it gives the same answer all along the way of an image into noise, as in Geng et al.
2024 ("Consistency models made easy"): D(x0 + t * eps; t) is drawn to D(x0 + r * eps; r) at a weaker level r of the same
noise, which is held fixed. r / t rises towards 1 during the tuning: at first the target is what D sees in half of the
noise, far nearer to the image, and in the end the two levels are too near for the error between them to add up.

One jump is a hard thing to learn. With a waypoint (Heek et al. 2024, "Multistep consistency models") it is two: from
stronger noise D leads to the image at the waypoint's noise, from where another jump leads to the clean one.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from models.diffusion import SampleStep
from models.predictions import DrawNoise, Predict, levels

STAGES = 4
"""How often r / t is moved towards 1: 1/2, 3/4, 7/8 and 15/16 (as in Geng et al. 2024, at all noise levels alike)."""

SOFTNESS = 0.03
"""c of the pseudo-Huber loss, in units of the root mean square error that D starts from."""


def weaker_share(progress: float) -> float:
    """How far down the way of an image the target lies, r / t.

    Args:
        progress: share of the tuning that is done, from 0 up to 1.
    """
    stage = min(int(STAGES * progress), STAGES - 1)
    return 1.0 - 0.5 ** (stage + 1)


def share_of_answer(weaker: Tensor, sigma: Tensor, waypoint: float) -> Tensor:
    """How much of D's target is its answer at the weaker level; the rest is the clean image.

    A jump from t lands at the waypoint s, at D + (s / t) (x - D). From t and from the weaker r it lands at the same
    place if D(x; t) = w D(x; r) + (1 - w) x0 with w = (1 - s / r) / (1 - s / t) (Heek et al. 2024, section 3); where r
    is below s, the image at the waypoint is itself the place, and w is 0.

    Args:
        weaker: r, shape (B,).
        sigma: t, shape (B,).
        waypoint: s. From levels up to there, and from all where it is 0, jumps lead to the image, and w is 1.
    """
    share = (1.0 - waypoint / weaker).clamp(min=0.0) / (1.0 - waypoint / sigma)
    return torch.where(sigma > waypoint, share, 1.0)


def pseudo_huber(squared: Tensor) -> Tensor:
    """sqrt(e^2 + c^2) - c (Song and Dhariwal 2023, section 3.3): quadratic near 0, and far from it no outlier rules.

    Args:
        squared: e^2, in squared units of the error that D starts from.
    """
    return (squared + SOFTNESS**2).sqrt() - SOFTNESS


def jumps(denoise: Predict, sigmas: Sequence[float], x: Tensor, noise: DrawNoise | None) -> Iterator[SampleStep]:
    """Jump to the clean image, noise it less than before, and jump again (Song et al. 2023, algorithm 1).

    Args:
        denoise: D, told sigma.
        sigmas: falling levels that end with 0; one evaluation for each but the last. Of a model with a waypoint three:
            its jumps from beyond land there and nowhere else.
        x: the start, noisy images at ``sigmas[0]``.
        noise: the fresh noise of every jump but the first. None where D leads to the next level instead of the clean
            image: then what it takes for noise is kept, only less of it (DDIM; Heek et al. 2024, algorithm 2).
    """
    total = len(sigmas) - 1
    for index, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoise(x, levels(sigma, x))
        yield SampleStep(index, total, sigma, x, x0)
        x = x0 if following == 0.0 else x0 + following * (noise() if noise else (x - x0) / sigma)
    yield SampleStep(total, total, 0.0, x, x)
