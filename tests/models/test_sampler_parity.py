"""Whole sampling runs against the schedulers of diffusers, from the same start and with the same noise."""

from typing import Literal

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_ipndm import IPNDMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor, nn
from torch.testing import assert_close

from models.ddpm import Ddpm
from models.edm import Edm
from models.heun import heun
from models.multistep_samplers import ADAMS_BASHFORTH, ipndm, unipc
from models.noise import ImageNoise
from models.sampler_spec import DiscreteSamplerSpec
from models.schedule import linear_schedule
from models.sigma_levels import sigma_grid
from tests.models.processes import along_sigma, ddpm, edm, unled

SEEDS, LABELS = [3, 14], torch.tensor([0, 0])
STEPS, START, END = 100, 0.0001, 0.02


DPMPP_2M = [("dpmpp_2m", 2, steps) for steps in (2, 8, 18)]
DPMPP_3M = [("dpmpp_3m", 3, steps) for steps in (2, 3, 8, 14)]  # from 15 steps on, theirs does not lower the order


class Bend(nn.Module):
    """A smooth prediction that depends on the image and the level."""

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        return 0.8 * x.tanh() + 0.1 * torch.sin(level).view(-1, 1, 1, 1)


NETWORK = Bend()


def ask(x: Tensor, level: Tensor | float) -> Tensor:
    """The fake network as diffusers' loop and ours call it, with one level for all images."""
    return NETWORK(x, torch.as_tensor(level).to(x).expand(len(x)), LABELS, torch.ones(len(x)))


def ours(kind: str, steps: int, eta: float) -> Tensor:
    family = "ddpm" if kind == "ddpm" else "ddim"
    sampler = DiscreteSamplerSpec(kind=family, steps=steps, eta=eta, guidance=1.0, guide="unlabelled", start="noise")
    process = Ddpm(NETWORK, ddpm(STEPS, START, END))
    return list(process.sample(sampler, ImageNoise(SEEDS), LABELS))[-1].x


def exact_abar() -> Tensor:
    """For diffusers, whose own float32 loses three digits of 1 - abar at the first steps."""
    return torch.cumprod(1.0 - torch.linspace(START, END, STEPS, dtype=torch.float64), dim=0)


def test_ddpm_run(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = ImageNoise(SEEDS)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: noise.draw())
    theirs = DDPMScheduler(num_train_timesteps=STEPS, variance_type="fixed_small", clip_sample=False)
    theirs.alphas_cumprod = exact_abar()
    theirs.set_timesteps(STEPS)
    x = noise.draw()
    for t in theirs.timesteps:
        x = theirs.step(ask(x, t), t, x).prev_sample
    assert_close(ours("ddpm", STEPS, 1.0), x.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [10, 20, 100])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_run(steps: int, eta: float) -> None:
    theirs = DDIMScheduler(num_train_timesteps=STEPS, clip_sample=False, timestep_spacing="trailing")
    theirs.alphas_cumprod = exact_abar()
    theirs.set_timesteps(steps)
    spaced = linear_schedule(STEPS, START, END).respaced(steps)
    assert spaced.timestep.flip(0).tolist() == theirs.timesteps.tolist()
    noise = ImageNoise(SEEDS)
    x = noise.draw()
    for t in theirs.timesteps:
        z = noise.draw() if t != theirs.timesteps[-1] else torch.zeros_like(x)
        x = theirs.step(ask(x, t), t, x, eta=eta, variance_noise=z).prev_sample
    assert_close(ours("ddim", steps, eta), x.float(), rtol=1e-5, atol=1e-5)


def test_ddim_with_all_the_noise_is_ddpm() -> None:
    """Song et al. 2021, section 4.1: eta = 1 over all steps."""
    assert_close(ours("ddim", STEPS, 1.0), ours("ddpm", STEPS, 1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "order", "steps"), [*DPMPP_2M, *DPMPP_3M])
def test_dpmpp_run_with_preconditioning(kind: Literal["dpmpp_2m", "dpmpp_3m"], order: int, steps: int) -> None:
    theirs = EDMDPMSolverMultistepScheduler(sigma_min=0.01, sigma_max=40.0, sigma_data=0.5, rho=7.0, solver_order=order)
    theirs.set_timesteps(steps)
    x = 40.0 * ImageNoise(SEEDS).draw()
    for t in theirs.timesteps:
        x = theirs.step(ask(theirs.scale_model_input(x, t), t), t, x).prev_sample
    process = Edm(NETWORK, edm())
    sampler = along_sigma(kind, steps, sigma_max=40.0)
    result = list(process.sample(sampler, ImageNoise(SEEDS), LABELS))[-1].x
    assert_close(result, x, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers, with numpy 2
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 18])
def test_unipc_run(steps: int) -> None:
    """Theirs scales x by 1 / sqrt(1 + sigma^2), ours not."""
    theirs = UniPCMultistepScheduler(
        solver_order=3, prediction_type="sample", use_karras_sigmas=True, sigma_min=0.01, sigma_max=40.0
    )
    theirs.set_timesteps(steps)
    grid = sigma_grid(steps, 0.01, 40.0, 7.0)
    sigmas = torch.tensor(grid, dtype=torch.float64)
    assert_close(theirs.sigmas.double(), sigmas, rtol=1e-6, atol=0.0)
    theirs.sigmas = sigmas
    start = 40.0 * ImageNoise(SEEDS).draw().double()
    x = start / (1.0 + sigmas[0] ** 2).sqrt()
    for sigma, t in zip(sigmas, theirs.timesteps, strict=False):
        x = theirs.step(ask(x * (1.0 + sigma**2).sqrt(), sigma), t, x).prev_sample
    assert_close(list(unipc(unled(ask), grid, start))[-1].x, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_ipndm_run(steps: int) -> None:
    """Theirs knows one grid only, and keeps its order in the last step; told ours, it must visit the same states."""
    theirs = IPNDMScheduler()
    theirs.set_timesteps(steps)
    grid = sigma_grid(steps, 0.01, 40.0, 7.0)
    sigmas = torch.tensor(grid, dtype=torch.float64)
    theirs.betas, theirs.alphas = sigmas, torch.ones(steps + 1, dtype=torch.float64)
    x = 40.0 * ImageNoise(SEEDS).draw().double()
    ours = list(ipndm(unled(ask), grid, x))
    for index, (sigma, t) in enumerate(zip(sigmas, theirs.timesteps, strict=False)):
        if index + len(ADAMS_BASHFORTH) <= steps:  # from here on our order falls
            assert_close(ours[index].x, x, rtol=1e-5, atol=1e-5)
        slope = (x - ask(x, sigma)) / sigma
        x = theirs.step(slope - x * sigma, t, x).prev_sample  # to which theirs adds x * beta


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers, with numpy 2
def test_heun_run() -> None:
    theirs = HeunDiscreteScheduler(prediction_type="sample", use_karras_sigmas=True)
    theirs.set_timesteps(12)
    visited = theirs.sigmas.unique(sorted=True).flip(0)
    grid = sigma_grid(12, visited[-2].item(), visited[0].item(), 7.0)
    assert_close(torch.tensor(grid), visited, rtol=1e-5, atol=0.0)
    start = visited[0] * ImageNoise(SEEDS).draw()
    x = start
    for sigma, t in zip(theirs.sigmas, theirs.timesteps, strict=False):
        x = theirs.step(ask(x, sigma), t, x).prev_sample
    assert_close(list(heun(ask, grid, start, lambda: start))[-1].x, x, rtol=1e-5, atol=1e-5)
