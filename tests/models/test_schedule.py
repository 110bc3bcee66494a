"""Noise schedules: goldens, identities, parity with diffusers, and the audit of the last step."""

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch.testing import assert_close

from models.schedule import (
    NoiseSchedule,
    audit,
    build_schedule,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
    zero_terminal,
)
from models.spec import LEAST_SIGNAL
from tests.models.processes import ddpm

COURSE = {"steps": 100, "start": 0.0001, "end": 0.02}


ABAR_T = 0.3635632480554919
"""abar_T of the course: the product of 1 - beta over its 100 steps, in rational arithmetic (see the first test)."""


def test_course_schedule_golden() -> None:
    start, end = Fraction(1, 10_000), Fraction(2, 100)
    product = math.prod(1 - (start + (end - start) * Fraction(t, 99)) for t in range(100))
    assert float(product) == ABAR_T
    schedule = linear_schedule(**COURSE)
    assert schedule.steps == 100
    assert schedule.beta[0].item() == pytest.approx(0.0001, rel=1e-14)
    assert schedule.beta[-1].item() == pytest.approx(0.02, rel=1e-14)
    assert schedule.abar[-1].item() == pytest.approx(ABAR_T, rel=1e-13)


def test_identities() -> None:
    schedule = linear_schedule(**COURSE)
    assert schedule.abar.dtype == torch.float64
    assert_close(schedule.alpha + schedule.beta, torch.ones(100, dtype=torch.float64))
    assert_close(schedule.sqrt_abar**2 + schedule.sqrt_one_minus_abar**2, torch.ones(100, dtype=torch.float64))
    assert_close(schedule.abar_previous * schedule.alpha, schedule.abar)
    assert torch.all(schedule.abar.diff() < 0)
    assert schedule.abar[-1] > 0
    assert schedule.posterior_variance[0] == 0.0
    assert torch.all(schedule.posterior_variance[1:] < schedule.beta[1:])


def test_posterior_variance_is_that_of_the_gaussian_posterior() -> None:
    """Bayes: precision of x_(t-1) given x_0 and x_t adds 1 / (1 - abar_(t-1)) and alpha_t / beta_t."""
    schedule = linear_schedule(**COURSE)
    precision = 1.0 / (1.0 - schedule.abar[:-1]) + schedule.alpha[1:] / schedule.beta[1:]
    assert_close(schedule.posterior_variance[1:], 1.0 / precision)


def test_parity_with_diffusers() -> None:
    theirs = DDPMScheduler(num_train_timesteps=100, beta_start=0.0001, beta_end=0.02, variance_type="fixed_small")
    ours = linear_schedule(**COURSE)
    assert_close(ours.beta.float(), theirs.betas)
    assert_close(ours.abar.float(), theirs.alphas_cumprod, rtol=1e-5, atol=1e-6)


def test_posterior_variance_parity_with_diffusers() -> None:
    """In float64: diffusers' own float32 loses three digits of 1 - abar at the first steps."""
    theirs = DDPMScheduler(num_train_timesteps=100, variance_type="fixed_small")
    theirs.alphas_cumprod = torch.cumprod(1.0 - torch.linspace(0.0001, 0.02, 100, dtype=torch.float64), dim=0)
    variances = torch.stack([theirs._get_variance(t) for t in range(1, 100)])
    assert_close(linear_schedule(**COURSE).posterior_variance[1:], variances, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("count", [1, 3, 7, 10, 33, 64, 99, 100])
def test_respacing_keeps_the_noise_levels_and_the_last_step(count: int) -> None:
    whole = linear_schedule(**COURSE)
    kept = whole.respaced(count)
    assert kept.steps == count
    assert kept.timestep[-1] == 99
    assert torch.all(kept.timestep.diff() > 0)
    assert kept.timestep[0] >= 0
    assert_close(kept.abar, whole.abar[kept.timestep], rtol=1e-13, atol=0.0)


def test_respacing_to_all_steps_changes_nothing() -> None:
    whole = linear_schedule(**COURSE)
    same = whole.respaced(100)
    assert torch.equal(same.timestep, whole.timestep)
    assert_close(same.beta, whole.beta, rtol=1e-11, atol=0.0)


@pytest.mark.parametrize("count", [0, 101])
def test_respacing_refuses_impossible_counts(count: int) -> None:
    with pytest.raises(ValueError, match=f"cannot keep {count} of 100 steps"):
        linear_schedule(**COURSE).respaced(count)


def test_audit_of_the_course_schedule() -> None:
    """0.364 of the variance and 60 % of the amplitude survive; a pixel mean of -0.43 arrives as -0.26."""
    result = audit(linear_schedule(**COURSE), pixel_mean=-0.43)
    assert result.abar == pytest.approx(0.364, abs=5e-4)
    assert result.amplitude == pytest.approx(0.603, abs=5e-4)
    assert result.snr == pytest.approx(0.571, abs=5e-4)
    assert result.mean_shift == pytest.approx(-0.26, abs=5e-3)


def test_audit_of_the_repaired_schedule() -> None:
    """Betas ten times larger leave 2e-5 of the variance."""
    assert audit(linear_schedule(100, 0.001, 0.2), pixel_mean=-0.43).abar == pytest.approx(2e-5, rel=0.1)


def test_schedule_is_frozen() -> None:
    schedule = linear_schedule(4, 0.1, 0.2)
    assert isinstance(schedule, NoiseSchedule)
    with pytest.raises(AttributeError):
        schedule.beta = torch.zeros(4)  # type: ignore[misc]


def test_cosine_parity_with_diffusers() -> None:
    theirs = DDPMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    assert_close(cosine_schedule(100).beta.float(), theirs.betas, rtol=1e-5, atol=1e-7)


def test_sigmoid_is_the_curve_of_the_paper() -> None:
    """Golden: gamma(t) of Chen 2023, algorithm 1, with start -3, end 3 and tau 1, divided by gamma(0) = 1."""

    def logistic(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-x))

    schedule = sigmoid_schedule(50)
    for t in (0, 10, 25, 48):
        x = -3.0 + 6.0 * (t + 1) / 50
        expected = (logistic(3.0) - logistic(x)) / (logistic(3.0) - logistic(-3.0))
        assert schedule.abar[t].item() == pytest.approx(expected)
    assert schedule.beta[-1].item() == 0.999


@pytest.mark.parametrize("schedule", [linear_schedule(**COURSE), cosine_schedule(100), sigmoid_schedule(100)])
def test_zero_terminal_parity_with_diffusers(schedule: NoiseSchedule) -> None:
    ours = zero_terminal(schedule)
    assert_close(ours.beta, rescale_zero_terminal_snr(schedule.beta), rtol=1e-6, atol=1e-9)
    assert ours.abar[-1] == 0.0
    assert ours.abar[0].item() == pytest.approx(schedule.abar[0].item(), rel=1e-14)
    assert ours.snr[-1] == 0.0
    assert audit(ours, pixel_mean=-0.43).mean_shift == 0.0
    assert ours.respaced(10).abar[-1] == 0.0


def test_a_description_is_built() -> None:
    assert torch.equal(build_schedule(ddpm()).beta, linear_schedule(**COURSE).beta)
    assert torch.equal(build_schedule(ddpm(schedule="cosine", target="v")).beta, cosine_schedule(100).beta)
    assert torch.equal(build_schedule(ddpm(schedule="sigmoid", target="v")).beta, sigmoid_schedule(100).beta)
    mended = build_schedule(ddpm(zero_terminal=True, target="v"))
    assert torch.equal(mended.beta, zero_terminal(linear_schedule(**COURSE)).beta)


@pytest.mark.parametrize(
    ("steps", "start", "end", "ends"),
    [
        (100, 0.0001, 0.02, False),
        (100, 0.001, 0.2, False),
        (100, 0.001, 0.21, False),
        (100, 0.001, 0.22, True),
        (1000, 0.0001, 0.02, False),
        (2, 0.01, 0.999999, True),
    ],
)
def test_a_linear_schedule_ends_in_noise_where_too_little_of_the_signal_is_left(
    steps: int, start: float, end: float, ends: bool
) -> None:
    process = ddpm(steps, start, end, target="v")
    assert process.ends_in_noise == ends
    assert (build_schedule(process).abar[-1].item() < LEAST_SIGNAL) == ends


def test_betas_that_reach_one_but_for_rounding_end_in_noise() -> None:
    assert ddpm(3, 0.5, math.nextafter(1.0, 0.0), target="v").ends_in_noise


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "cosine"},
        {"schedule": "sigmoid"},
        {"zero_terminal": True},
        {"beta_start": 0.001, "beta_end": 0.22},
        {"steps": 1000, "beta_end": 0.2},  # SNR(T) is 0 in float32, and with 0.5 its root too
        {"steps": 1000, "beta_end": 0.5},
    ],
)
def test_noise_is_not_predicted_where_the_schedule_ends_in_it(settings: dict[str, Any]) -> None:
    for target in ("x0", "v"):
        assert ddpm(target=target, **settings).ends_in_noise
    with pytest.raises(ValueError, match=r"target\|x0 or v with a schedule that ends in noise"):
        ddpm(target="eps", **settings)
