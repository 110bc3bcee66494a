"""How fast a DDPM destroys its images, in float64, and the audit of how much survives at the last step.

Shapes: T steps. Step ``t`` counts from 0, and an image at t = 0 has already been noised once.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.spec import DdpmSpec

COSINE_OFFSET = 0.008
"""s of Nichol and Dhariwal 2021, section 3.2: it keeps the first of 1,000 steps from adding far less noise
than one grey level; with fewer steps the first adds more."""

SIGMOID_REACH = 3.0
"""Where the logistic curve begins and ends (Chen 2023, algorithm 1)."""

LARGEST_BETA = 0.999
"""Keeps the last steps of a schedule that falls to 0 away from the singularity (Nichol and Dhariwal 2021)."""


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Coefficients of the discrete forward process (Ho et al. 2020), all derived from ``beta``.

    Attributes:
        beta: variance of the noise that each step adds, float64, shape (T,), each in (0, 1]; 1 leaves only noise.
        timestep: what the network is told at each step, int64, shape (T,); 0..T-1 unless respaced.
    """

    beta: Tensor
    timestep: Tensor

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return len(self.beta)

    @cached_property
    def alpha(self) -> Tensor:
        """alpha_t = 1 - beta_t, shape (T,)."""
        return 1.0 - self.beta

    @cached_property
    def abar(self) -> Tensor:
        """abar_t = alpha_0 * ... * alpha_t, the share of the signal's variance left, shape (T,)."""
        return torch.cumprod(self.alpha, dim=0)

    @cached_property
    def abar_previous(self) -> Tensor:
        """abar_(t-1), which is 1 before the first step, shape (T,)."""
        return torch.cat([torch.ones(1, dtype=torch.float64), self.abar[:-1]])

    @cached_property
    def sqrt_abar(self) -> Tensor:
        """Amplitude of the signal at each step, shape (T,)."""
        return self.abar.sqrt()

    @cached_property
    def sqrt_one_minus_abar(self) -> Tensor:
        """Standard deviation of the noise at each step, shape (T,)."""
        return (1.0 - self.abar).sqrt()

    @cached_property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio abar / (1 - abar), shape (T,)."""
        return self.abar / (1.0 - self.abar)

    @cached_property
    def posterior_variance(self) -> Tensor:
        """Variance of x_(t-1) given x_t and x_0 (Ho et al. 2020, equation 7), shape (T,); 0 at t = 0."""
        return (1.0 - self.abar_previous) / (1.0 - self.abar) * self.beta

    def respaced(self, count: int) -> "NoiseSchedule":
        """The schedule that visits ``count`` of the steps, evenly spaced and always including the last.

        The spacing is "trailing" (Lin et al. 2024, table 2), so that sampling starts where the noise is strongest;
        the betas are those between the kept steps (Nichol and Dhariwal 2021, section 4).

        Args:
            count: number of steps kept, from 1 to T.

        Raises:
            ValueError: ``count`` is outside that range.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(f"cannot keep {count} of {self.steps} steps")
        kept = torch.tensor([round(self.steps * k / count) - 1 for k in range(1, count + 1)])
        abar = self.abar[kept]
        previous = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
        return NoiseSchedule(1.0 - abar / previous, self.timestep[kept])


def linear_schedule(steps: int, start: float, end: float) -> NoiseSchedule:
    """Betas that rise linearly (Ho et al. 2020, section 4).

    Args:
        steps: T, at least 1.
        start: beta at t = 0, in (0, 1).
        end: beta at t = T - 1, in (0, 1).
    """
    return NoiseSchedule(torch.linspace(start, end, steps, dtype=torch.float64), torch.arange(steps))


def cosine_schedule(steps: int) -> NoiseSchedule:
    """A signal that fades like a squared cosine (Nichol and Dhariwal 2021, equation 17), betas at most 0.999.

    Args:
        steps: T, at least 1.
    """
    u = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    return schedule_of_signal(torch.cos((u + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * math.pi / 2.0).square())


def sigmoid_schedule(steps: int) -> NoiseSchedule:
    """A signal that fades like a logistic curve from -3 to 3 (Chen 2023, algorithm 1), betas at most 0.999.

    Args:
        steps: T, at least 1.
    """
    u = torch.linspace(-SIGMOID_REACH, SIGMOID_REACH, steps + 1, dtype=torch.float64)
    return schedule_of_signal(torch.sigmoid(-u) - torch.sigmoid(torch.tensor(-SIGMOID_REACH, dtype=torch.float64)))


def schedule_of_signal(signal: Tensor) -> NoiseSchedule:
    """The schedule whose abar falls like a curve, as far as betas of at most 0.999 allow.

    Args:
        signal: share of the signal's variance left, up to a factor, before the first step and after each; float64,
            falling, shape (T + 1,).
    """
    beta = (1.0 - signal[1:] / signal[:-1]).clamp(max=LARGEST_BETA)
    return NoiseSchedule(beta, torch.arange(len(beta)))


def zero_terminal(schedule: NoiseSchedule) -> NoiseSchedule:
    """The same schedule stretched until nothing of the image is left at its end (Lin et al. 2024, algorithm 1).

    sqrt(abar) keeps its first value and falls to exactly 0, so the last beta is 1.

    Args:
        schedule: at least two steps.
    """
    amplitude = schedule.sqrt_abar
    first, last = amplitude[0], amplitude[-1]
    abar = ((amplitude - last) * first / (first - last)).square()
    previous = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    return NoiseSchedule(1.0 - abar / previous, schedule.timestep)


def build_schedule(spec: DdpmSpec) -> NoiseSchedule:
    """The schedule that a description names."""
    if spec.schedule == "linear":
        schedule = linear_schedule(spec.steps, spec.beta_start, spec.beta_end)
    else:
        schedule = cosine_schedule(spec.steps) if spec.schedule == "cosine" else sigmoid_schedule(spec.steps)
    return zero_terminal(schedule) if spec.zero_terminal else schedule


@dataclass(frozen=True, slots=True)
class TerminalAudit:
    """What is left of an image at the last step, where sampling assumes that nothing is (Lin et al. 2024)."""

    abar: float
    """Share of the signal's variance left, abar_T."""
    amplitude: float
    """Share of the signal's amplitude left, sqrt(abar_T)."""
    snr: float
    """Terminal signal-to-noise ratio, abar_T / (1 - abar_T)."""
    mean_shift: float
    """Mean of a noised training image at the last step; sampling starts from a mean of 0 instead."""


def audit(schedule: NoiseSchedule, pixel_mean: float) -> TerminalAudit:
    """Measure how far the last noise level is from the pure noise that sampling starts from.

    Args:
        schedule: the noise schedule of a trained model.
        pixel_mean: mean of the encoded training pixels, in [-1, 1].
    """
    abar = schedule.abar[-1].item()
    amplitude = math.sqrt(abar)
    return TerminalAudit(abar, amplitude, abar / (1.0 - abar), amplitude * pixel_mean)
