"""The noise levels that samplers visit: the grid of Karras et al. 2022, churn, and where guidance acts."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from diffusers.schedulers.scheduling_edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler
from torch.testing import assert_close

from models.sigma_levels import churned, sigma_grid, within


def test_the_grid_is_equation_five_and_ends_with_exactly_zero() -> None:
    steps, low, high, rho = 18, 0.002, 80.0, 7.0
    expected = [
        (high ** (1 / rho) + i / (steps - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(steps)
    ]
    grid = sigma_grid(steps, low, high, rho)
    assert grid[:-1] == pytest.approx(expected, rel=1e-12)
    assert (grid[0], grid[-2], grid[-1]) == (pytest.approx(high, rel=1e-12), pytest.approx(low, rel=1e-12), 0.0)
    assert all(stronger > weaker for stronger, weaker in itertools.pairwise(grid))


def test_rho_one_is_an_even_grid() -> None:
    assert sigma_grid(5, 1.0, 9.0, 1.0) == pytest.approx([9.0, 7.0, 5.0, 3.0, 1.0, 0.0])


def test_one_step_goes_from_the_strongest_level_to_zero() -> None:
    assert sigma_grid(1, 0.01, 40.0, 7.0) == [pytest.approx(40.0), 0.0]


def test_parity_with_diffusers() -> None:
    theirs = EDMDPMSolverMultistepScheduler(sigma_min=0.01, sigma_max=40.0, rho=7.0)
    theirs.set_timesteps(18)
    assert_close(torch.tensor(sigma_grid(18, 0.01, 40.0, 7.0)), theirs.sigmas, rtol=1e-5, atol=0.0)


def test_churn_is_shared_among_the_steps_and_capped() -> None:
    assert churned(2.0, 1.0, 10) == pytest.approx(2.2)
    assert churned(2.0, 30.0, 10) == pytest.approx(2.0 * math.sqrt(2.0))


@pytest.mark.parametrize(
    ("level", "lies"),
    [(0.1, True), (1.0, True), (0.3, True), (0.0999, False), (1.001, False), (1.0 + 1e-7, False), (1.0 + 1e-12, True)],
)
def test_the_ends_of_an_interval_are_part_of_it(level: float, lies: bool) -> None:
    assert within(level, (0.1, 1.0)) == lies


def test_levels_are_told_without_torch() -> None:
    """A loader that refuses a bad file in milliseconds asks for them."""
    code = "import sys; import models.evaluations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
