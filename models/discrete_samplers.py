"""Samplers on the steps of a DDPM schedule, from noise to images.

Shapes: B images (B, 1, H, W); t is int64, shape (B,), in 0..T-1.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from models.diffusion import SampleStep
from models.forward import at_step
from models.predictions import DrawNoise, Predict
from models.schedule import NoiseSchedule
from models.targets import Prediction, Target, read_answer

ReverseStep = Callable[[Tensor, Tensor, Prediction, Tensor, NoiseSchedule], Tensor]
"""(x_t, t, what is seen in it, z, schedule) -> x_(t-1)."""

Look = Callable[[Tensor, Tensor], Prediction]
"""(x_t, t) -> what the network sees in it."""

FINISHED = -1.0
"""The level of finished images: one step before t = 0, which is noised once."""


def remove_noise(xt: Tensor, t: Tensor, seen: Prediction, z: Tensor, schedule: NoiseSchedule) -> Tensor:
    """One reverse step of DDPM, from x_t to x_(t-1): a draw from the posterior (Ho et al. 2020, equations 6 and 7).

        x_(t-1) = (sqrt(abar_(t-1)) * beta_t * x_0 + sqrt(alpha_t) * (1 - abar_(t-1)) * x_t) / (1 - abar_t) + s * z

    with s^2 the posterior variance. With the predicted noise for x_0 this is line 4 of their algorithm 2, which has no
    value where nothing of the image is left.

    Args:
        xt: noisy images.
        t: their step; at t = 0 the posterior variance is 0, so z has no effect.
        seen: what the network sees in them.
        z: fresh standard normal noise.
        schedule: the noise schedule.
    """
    before, left = schedule.abar_previous, 1.0 - schedule.abar
    of_image = at_step(before.sqrt() * schedule.beta / left, t, xt)
    of_state = at_step(schedule.alpha.sqrt() * (1.0 - before) / left, t, xt)
    return of_image * seen.x0 + of_state * xt + at_step(schedule.posterior_variance.sqrt(), t, xt) * z


def ddim_step(xt: Tensor, t: Tensor, seen: Prediction, z: Tensor, schedule: NoiseSchedule, eta: float) -> Tensor:
    """One reverse step of DDIM (Song et al. 2021, equation 12).

        x_(t-1) = sqrt(abar_(t-1)) * x_0 + sqrt(1 - abar_(t-1) - s^2) * eps + s * z,  s^2 = eta^2 * posterior variance

    Args:
        xt: noisy images.
        t: their step.
        seen: what the network sees in them.
        z: fresh standard normal noise; without effect when eta is 0 or t is 0.
        schedule: the noise schedule.
        eta: share of the ancestral noise: 0 is deterministic, 1 has DDPM's variance.
    """
    previous = schedule.abar_previous
    variance = eta**2 * schedule.posterior_variance
    direction = at_step((1.0 - previous - variance).clamp(min=0.0).sqrt(), t, xt) * seen.eps
    return at_step(previous.sqrt(), t, xt) * seen.x0 + direction + at_step(variance.sqrt(), t, xt) * z


def generate_samples(
    look: Look, schedule: NoiseSchedule, x: Tensor, noise: DrawNoise, step: ReverseStep = remove_noise
) -> Iterator[SampleStep]:
    """From noise to images, one step at a time, t = T - 1 to 0 (Ho et al. 2020, algorithm 2).

    Args:
        look: what the network sees in x_t, given x_t and t.
        schedule: the noise schedule, whole or respaced.
        x: the start x_T.
        noise: source of z, drawn for every step but the last.
        step: the reverse step: :func:`remove_noise`, or :func:`ddim_step` with its eta bound.
    """
    for index, t in enumerate(reversed(range(schedule.steps))):
        steps = torch.full((len(x),), t)
        seen = look(x, steps)
        yield SampleStep(index, schedule.steps, schedule.timestep[t].item(), x, seen.x0)
        z = noise() if t > 0 else torch.zeros_like(x)
        x = step(x, steps, seen, z, schedule)
    yield SampleStep(schedule.steps, schedule.steps, FINISHED, x, x)


def looking(predict: Predict, target: Target, schedule: NoiseSchedule) -> Look:
    """A network's sight of images on a schedule.

    Args:
        predict: the network, told the schedule's ``timestep``; all images are at the same.
        target: what it answers.
        schedule: the noise schedule, whole or respaced.
    """

    def look(xt: Tensor, t: Tensor) -> Prediction:
        return read_answer(target, predict(xt, float(schedule.timestep[t[0]])), xt, t, schedule)

    return look
