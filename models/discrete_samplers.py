"""Samplers on the steps of a DDPM schedule, from noise to images.

Shapes: B images (B, 1, H, W); t is int64, shape (B,), in 0..T-1.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from models.diffusion import SampleStep
from models.forward import at_step, predict_x0
from models.samplers import DrawNoise, Predict
from models.schedule import NoiseSchedule

ReverseStep = Callable[[Tensor, Tensor, Tensor, Tensor, NoiseSchedule], Tensor]
"""(x_t, t, eps, z, schedule) -> x_(t-1)."""

FINISHED = -1.0
"""The level of finished images: one step before t = 0, which is noised once."""


def remove_noise(xt: Tensor, t: Tensor, eps: Tensor, z: Tensor, schedule: NoiseSchedule) -> Tensor:
    """One reverse step of DDPM, from x_t to x_(t-1) (Ho et al. 2020, algorithm 2, variance of equation 7).

        x_(t-1) = (x_t - beta_t / sqrt(1 - abar_t) * eps) / sqrt(alpha_t) + sqrt(posterior variance) * z

    Args:
        xt: noisy images.
        t: their step; at t = 0 the posterior variance is 0, so z has no effect.
        eps: the predicted noise.
        z: fresh standard normal noise.
        schedule: the noise schedule.
    """
    share = at_step(schedule.beta / schedule.sqrt_one_minus_abar, t, xt)
    mean = (xt - share * eps) / at_step(schedule.alpha.sqrt(), t, xt)
    return mean + at_step(schedule.posterior_variance.sqrt(), t, xt) * z


def ddim_step(xt: Tensor, t: Tensor, eps: Tensor, z: Tensor, schedule: NoiseSchedule, eta: float) -> Tensor:
    """One reverse step of DDIM (Song et al. 2021, equation 12).

        x_(t-1) = sqrt(abar_(t-1)) * x_0 + sqrt(1 - abar_(t-1) - s^2) * eps + s * z,  s^2 = eta^2 * posterior variance

    Args:
        xt: noisy images.
        t: their step.
        eps: the predicted noise.
        z: fresh standard normal noise; without effect when eta is 0 or t is 0.
        schedule: the noise schedule.
        eta: share of the ancestral noise: 0 is deterministic, 1 has DDPM's variance.
    """
    previous = schedule.abar_previous
    variance = eta**2 * schedule.posterior_variance
    direction = at_step((1.0 - previous - variance).clamp(min=0.0).sqrt(), t, xt) * eps
    mean = at_step(previous.sqrt(), t, xt) * predict_x0(xt, t, eps, schedule) + direction
    return mean + at_step(variance.sqrt(), t, xt) * z


def generate_samples(
    predict_eps: Predict, schedule: NoiseSchedule, x: Tensor, noise: DrawNoise, step: ReverseStep = remove_noise
) -> Iterator[SampleStep]:
    """From noise to images, one step at a time, t = T - 1 to 0 (Ho et al. 2020, algorithm 2).

    Args:
        predict_eps: the network, told the schedule's ``timestep``.
        schedule: the noise schedule, whole or respaced.
        x: the start x_T, standard normal.
        noise: source of z, drawn for every step but the last.
        step: the reverse step: :func:`remove_noise`, or :func:`ddim_step` with its eta bound.
    """
    for index, t in enumerate(reversed(range(schedule.steps))):
        steps = torch.full((len(x),), t)
        level = schedule.timestep[steps].to(x)
        eps = predict_eps(x, level)
        yield SampleStep(index, schedule.steps, level[0].item(), x, predict_x0(x, steps, eps, schedule))
        z = noise() if t > 0 else torch.zeros_like(x)
        x = step(x, steps, eps, z, schedule)
    yield SampleStep(schedule.steps, schedule.steps, FINISHED, x, x)
