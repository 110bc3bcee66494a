"""The closed form of the discrete forward process, in both directions.

Shapes: B images (B, 1, H, W); t is int64, shape (B,), in 0..T-1.
"""

from torch import Tensor

from models.schedule import NoiseSchedule


def at_step(coefficients: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """Look up one coefficient per image, ready to multiply images.

    Args:
        coefficients: float64, shape (T,).
        t: step per image, shape (B,).
        like: the images, for device and dtype.

    Returns:
        Shape (B, 1, 1, 1).
    """
    there = coefficients.to(t.device, non_blocking=True)  # fetching t instead would wait for all that a GPU has to do
    return there[t].to(like, non_blocking=True).view(-1, 1, 1, 1)


def q_sample(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Jump from clean images straight to step t (Ho et al. 2020, equation 4).

        x_t = sqrt(abar_t) * x_0 + sqrt(1 - abar_t) * eps

    Args:
        x0: clean images in [-1, 1].
        t: step per image; t = 0 has already been noised once.
        eps: standard normal noise, drawn by the caller.
        schedule: the noise schedule.

    Returns:
        Noisy images, same shape and dtype as ``x0``.
    """
    return at_step(schedule.sqrt_abar, t, x0) * x0 + at_step(schedule.sqrt_one_minus_abar, t, x0) * eps


def predict_x0(xt: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    """The clean images that were noised, if ``eps`` was the noise (equation 4 solved for x_0).

    Args:
        xt: noisy images.
        t: their step.
        eps: the noise, true or predicted.
        schedule: the noise schedule.
    """
    return (xt - at_step(schedule.sqrt_one_minus_abar, t, xt) * eps) / at_step(schedule.sqrt_abar, t, xt)
