"""Gaussian data, where the best possible network is known: samplers must return its mean and spread.

For data N(m, s^2) the best prediction is affine in the image, and so is every sampler. Its result is
a + b * start + sum of c_k * z_k, whose numbers are read off by running it on unit vectors: what is left is the
sampler's own error.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from models.diffusion import SampleStep
from models.discrete_samplers import ReverseStep, ddim_step, generate_samples, looking, remove_noise
from models.edm import MULTISTEP
from models.evaluations import SAME_AS_2M
from models.heun import heun
from models.multistep_samplers import Seen, advance_dpmpp, dpmpp_2m, dpmpp_3m, ipndm, unipc
from models.predictions import Predict, PredictInParts
from models.schedule import NoiseSchedule, audit, linear_schedule
from models.sigma_levels import sigma_grid
from tests.models.processes import unled

MEAN, STD = -0.4, 0.5
SIGMA_MAX, SIGMA_MIN = 40.0, 1e-5
Solver = Callable[[Predict, Sequence[float], Tensor], Iterator[SampleStep]]


def plain_heun(denoise: Predict, sigmas: Sequence[float], x: Tensor) -> Iterator[SampleStep]:
    """Heun's method without churn, which draws nothing."""
    return heun(denoise, sigmas, x, partial(torch.zeros, 1))


def remembering(steps: Callable[[PredictInParts, Sequence[float], Tensor], Iterator[SampleStep]]) -> Solver:
    return lambda denoise, sigmas, x: steps(unled(denoise), sigmas, x)


UNIPC = remembering(unipc)
SOLVERS: list[Solver] = [plain_heun, *map(remembering, (dpmpp_2m, dpmpp_3m, ipndm)), UNIPC]


def denoise(x: Tensor, sigma: float) -> Tensor:
    """E[x0 | x] of x = x0 + sigma * eps."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def best_eps(schedule: NoiseSchedule) -> Predict:
    """E[eps | x_t], for a schedule that is not respaced."""

    def predict(x: Tensor, level: float) -> Tensor:
        abar = schedule.abar[int(level)]
        variance = abar * STD**2 + 1.0 - abar
        return (1.0 - abar).sqrt() * (x - abar.sqrt() * MEAN) / variance

    return predict


def ode_result(solver: Solver, steps: int) -> tuple[float, float]:
    """a and b of the sampler's affine map, from the starts 0 and 1."""
    start = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1)
    grid = sigma_grid(steps, SIGMA_MIN, SIGMA_MAX, 7.0)
    low, high = list(solver(denoise, grid, start))[-1].x.flatten().tolist()
    return low, high - low


@pytest.mark.parametrize("solver", SOLVERS)
def test_sigma_samplers_return_mean_and_spread(solver: Solver) -> None:
    """From the true distribution at sigma_max, N(m, s^2 + sigma_max^2)."""
    a, b = ode_result(solver, 64)
    assert a + b * MEAN == pytest.approx(MEAN, abs=1e-9)
    assert b * (STD**2 + SIGMA_MAX**2) ** 0.5 == pytest.approx(STD, rel=5e-3)


@pytest.mark.parametrize("kind", SAME_AS_2M)
def test_samplers_of_few_steps_draw_the_images_of_the_plainest(kind: str) -> None:
    """And of one step more, other ones."""
    solver, plain = (remembering(MULTISTEP[name]) for name in (kind, "dpmpp_2m"))
    for steps in range(1, SAME_AS_2M[kind] + 1):
        assert ode_result(solver, steps) == pytest.approx(ode_result(plain, steps), abs=1e-12)
    steps = SAME_AS_2M[kind] + 1
    assert ode_result(solver, steps) != pytest.approx(ode_result(plain, steps), rel=1e-9)


def error_of_spread(solver: Solver, steps: int) -> float:
    return abs(ode_result(solver, steps)[1] * (STD**2 + SIGMA_MAX**2) ** 0.5 / STD - 1.0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_sigma_samplers_are_of_their_order(solver: Solver) -> None:
    """Twice the steps, a quarter of the error; UniPC, whose corrector mends its first steps too, a sixteenth.

    The curvature of DPM-Solver++(3M) counts for half, and iPNDM keeps the error of its first two steps.
    """
    errors = [error_of_spread(solver, steps) for steps in (128, 256, 512, 1024)]
    ratios = [coarse / fine for coarse, fine in itertools.pairwise(errors)]
    assert ratios == pytest.approx([16.0 if solver is UNIPC else 4.0] * 3, rel=0.15)


@pytest.mark.parametrize("bend", [0.0, 0.7])
def test_three_evaluations_count_a_slope_in_full_and_a_curvature_by_half(bend: float) -> None:
    """D = 0.3 + 0.5 l + bend l^2 in l = lambda - lambda_0, on unequal steps, against the integral in closed form."""
    levels, h, x = (1.0, 1.3, 2.1), 0.4, torch.tensor([0.8], dtype=torch.float64)

    def predicted(sigma: float) -> Tensor:
        place = -math.log(sigma)
        return torch.tensor([0.3 + 0.5 * place + bend * place**2], dtype=torch.float64)

    decay = math.exp(-h)
    moments = (1.0 - decay, h - 1.0 + decay, h**2 - 2.0 * (h - 1.0 + decay))  # of l^k exp(l - h) from 0 to h
    wanted = decay * x + 0.3 * moments[0] + 0.5 * moments[1] + 0.5 * bend * moments[2]
    seen = [Seen(sigma, x, predicted(sigma)) for sigma in levels]
    assert_close(advance_dpmpp(seen, decay * levels[0]), wanted)


def test_looking_back_further_pays() -> None:
    second, third, slopes, corrected = (error_of_spread(solver, 64) for solver in SOLVERS[1:])
    assert corrected < third < slopes < second


def test_churn_changes_the_picture_and_keeps_mean_and_spread() -> None:
    """The result is a + b * start + sum of c_k * z_k, read off by unit vectors."""
    steps, churn = 256, 40.0
    unit = torch.eye(steps + 1, dtype=torch.float64).view(steps + 1, -1, 1, 1, 1)
    start = torch.cat([torch.zeros_like(unit[0, :1]), unit[0]])
    zero, later = torch.zeros(1, 1, 1, 1, dtype=torch.float64), iter(unit[1:])
    grid = sigma_grid(steps, SIGMA_MIN, SIGMA_MAX, 7.0)
    run = heun(denoise, grid, start, lambda: torch.cat([zero, next(later)]), churn)
    result = list(run)[-1].x.flatten()
    a, b, c = result[0], result[1] - result[0], result[2:] - result[0]
    assert (a + b * MEAN).item() == pytest.approx(MEAN, abs=1e-3)
    variance = b.square() * (STD**2 + SIGMA_MAX**2) + c.square().sum()
    assert variance.sqrt().item() == pytest.approx(STD, rel=1e-2)
    assert c.square().sum().sqrt().item() > 0.1 * STD


@pytest.mark.parametrize("solver", SOLVERS)
def test_starting_without_the_data_costs_little(solver: Solver) -> None:
    """Sampling starts from N(0, sigma_max^2): the mean is off by m * s / sqrt(s^2 + sigma_max^2), here 1.2 %."""
    a, b = ode_result(solver, 256)
    assert a == pytest.approx(MEAN * (1.0 - STD / (STD**2 + SIGMA_MAX**2) ** 0.5), rel=1e-4)
    assert b * SIGMA_MAX == pytest.approx(STD, rel=1e-3)


def moments(schedule: NoiseSchedule, step: ReverseStep, mean: float, variance: float) -> tuple[float, float]:
    """Mean and variance of a DDPM or DDIM run whose start is N(mean, variance)."""
    unit = torch.eye(schedule.steps + 1, dtype=torch.float64).view(schedule.steps + 1, -1, 1, 1, 1)
    start = torch.cat([torch.zeros_like(unit[0, :1]), unit[0]])
    later = iter(unit[1:])
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    look = looking(best_eps(schedule), "eps", schedule)
    run = generate_samples(look, schedule, start, lambda: torch.cat([zero, next(later)]), step)
    result = list(run)[-1].x.flatten()
    a, b, c = result[0], result[1] - result[0], result[2:] - result[0]
    return (a + b * mean).item(), (b**2 * variance + c.square().sum()).item()


def repaired(steps: int) -> NoiseSchedule:
    """The variance-preserving schedule of Song et al. 2021b, beta from 0.1 / T to 20 / T: abar_T = 4e-5 or less."""
    return linear_schedule(steps, 0.1 / steps, 20.0 / steps)


def from_true_start(steps: int, step: ReverseStep) -> tuple[float, float]:
    schedule = repaired(steps)
    abar = schedule.abar[-1].item()
    return moments(schedule, step, abar**0.5 * MEAN, abar * STD**2 + 1.0 - abar)


STEPS: dict[str, ReverseStep] = {
    "ddpm": remove_noise,
    "ddim": partial(ddim_step, eta=0.0),
    "ddim, eta 0.5": partial(ddim_step, eta=0.5),
    "ddim, eta 1": partial(ddim_step, eta=1.0),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_discrete_samplers_return_mean_and_spread(step: ReverseStep) -> None:
    mean, variance = from_true_start(400, step)
    assert mean == pytest.approx(MEAN, abs=1e-9)
    assert variance**0.5 == pytest.approx(STD, rel=0.02)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_discrete_samplers_are_of_first_order(step: ReverseStep) -> None:
    """Twice the steps, half the error."""
    errors = [abs(from_true_start(steps, step)[1] - STD**2) for steps in (200, 400, 800)]
    ratios = [coarse / fine for coarse, fine in itertools.pairwise(errors)]
    assert ratios == pytest.approx([2.0, 2.0], rel=0.15)


def test_course_schedule_loses_the_mean_and_the_repaired_one_keeps_it() -> None:
    """Started from N(0, 1), as sampling does: what the audit's mean shift costs, even with a perfect network."""
    course, mended = linear_schedule(100, 0.0001, 0.02), linear_schedule(100, 0.001, 0.2)
    lost = moments(course, partial(ddim_step, eta=0.0), 0.0, 1.0)[0] - MEAN
    kept = moments(mended, partial(ddim_step, eta=0.0), 0.0, 1.0)[0] - MEAN
    shift = audit(course, MEAN)
    exact = -shift.mean_shift * STD / (shift.abar * STD**2 + 1.0 - shift.abar) ** 0.5
    assert lost == pytest.approx(exact, rel=0.02)
    assert abs(lost) > 50 * abs(kept)
