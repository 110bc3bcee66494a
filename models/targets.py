"""What a network on discrete steps predicts, and how the clean image and the noise follow from its answer.

Any of the three targets gives the other two, since x_t is known. Shapes: B images (B, 1, H, W); t is int64, shape (B,).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from models.forward import at_step, predict_x0
from models.schedule import NoiseSchedule

Target = Literal["eps", "x0", "v"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network sees in noisy images.

    Attributes:
        x0: the clean images, shape (B, 1, H, W).
        eps: the noise in them, shape (B, 1, H, W).
    """

    x0: Tensor
    eps: Tensor


def velocity(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    """The velocity v = sqrt(abar_t) * eps - sqrt(1 - abar_t) * x_0 (Salimans and Ho 2022, section 4).

    Args:
        x0: clean images.
        t: step per image.
        eps: the noise added to them.
        schedule: the noise schedule.
    """
    return at_step(schedule.sqrt_abar, t, x0) * eps - at_step(schedule.sqrt_one_minus_abar, t, x0) * x0


def target_of(target: Target, x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    """The right answer to images ``x0`` noised by ``eps``; arguments as for :func:`velocity`."""
    if target == "v":
        return velocity(x0, t, eps, schedule)
    return eps if target == "eps" else x0


def read_answer(target: Target, answer: Tensor, xt: Tensor, t: Tensor, schedule: NoiseSchedule) -> Prediction:
    """Clean images and noise from a network's answer.

    Args:
        target: what the network was taught to answer.
        answer: its answer.
        xt: the noisy images that it was shown.
        t: their step; with target ``eps``, one at which something of the image is left.
        schedule: the noise schedule.
    """
    signal, noise = at_step(schedule.sqrt_abar, t, xt), at_step(schedule.sqrt_one_minus_abar, t, xt)
    if target == "v":
        return Prediction(x0=signal * xt - noise * answer, eps=noise * xt + signal * answer)
    if target == "x0":
        return Prediction(x0=answer, eps=(xt - signal * answer) / noise)
    return Prediction(x0=predict_x0(xt, t, answer, schedule), eps=answer)


def min_snr_weight(target: Target, snr: Tensor, gamma: float) -> Tensor:
    """What a target's squared error counts for: at most gamma times the noise's (Hang et al. 2023, section 3.4).

    In terms of the clean image's error the weight is min(SNR, gamma) for every target.

    Args:
        target: what the network answers.
        snr: signal-to-noise ratio abar / (1 - abar), from 0, shape (B,).
        gamma: the largest weight, 5 in the paper.
    """
    if target == "eps":
        return (gamma / snr).clamp(max=1.0)  # min(SNR, gamma) / SNR, which has no value at SNR 0
    weight = snr.clamp(max=gamma)
    return weight if target == "x0" else weight / (snr + 1.0)
