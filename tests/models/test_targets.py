"""The three targets say the same: parity with diffusers, and what min-SNR makes of their errors."""

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.testing import assert_close

from models.forward import q_sample
from models.schedule import NoiseSchedule, linear_schedule
from models.targets import Target, min_snr_weight, read_answer, target_of

SCHEDULE = linear_schedule(100, 0.0001, 0.02)
NAMES: dict[Target, str] = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
T = torch.tensor([0, 1, 50, 99])


def normal(seed: int) -> Tensor:
    return torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def theirs(target: Target, schedule: NoiseSchedule = SCHEDULE) -> Any:
    scheduler = DDPMScheduler(num_train_timesteps=100, prediction_type=NAMES[target], clip_sample=False)
    scheduler.alphas_cumprod = schedule.abar
    return scheduler


@pytest.mark.parametrize("target", NAMES)
def test_the_right_answer_tells_image_and_noise(target: Target) -> None:
    x0, eps = normal(0), normal(1)
    sight = read_answer(target, target_of(target, x0, T, eps, SCHEDULE), q_sample(x0, T, eps, SCHEDULE), T, SCHEDULE)
    assert_close(sight.x0, x0)
    assert_close(sight.eps, eps)


def test_velocity_parity_with_diffusers() -> None:
    x0, eps = normal(0), normal(1)
    assert_close(target_of("v", x0, T, eps, SCHEDULE), theirs("v").get_velocity(x0, eps, T))


@pytest.mark.parametrize("target", NAMES)
def test_image_parity_with_diffusers(target: Target) -> None:
    xt, answer = normal(2), normal(3)
    sight = read_answer(target, answer, xt, T, SCHEDULE)
    for index, t in enumerate(T.tolist()):
        step = theirs(target).step(answer[index], t, xt[index])
        assert_close(sight.x0[index], step.pred_original_sample)


@pytest.mark.parametrize("target", NAMES)
def test_min_snr_weighs_the_image_alike_whatever_the_target(target: Target) -> None:
    """An error of the clean image counts min(SNR, gamma), also when the network speaks of noise or velocity."""
    xt, answer = normal(2), normal(3)
    other = answer + 0.1 * normal(4)
    snr = SCHEDULE.snr[T]
    of_answer = (other - answer).square().mean(dim=(1, 2, 3)) * min_snr_weight(target, snr, 5.0)
    sights = [read_answer(target, said, xt, T, SCHEDULE).x0 for said in (answer, other)]
    of_image = (sights[1] - sights[0]).square().mean(dim=(1, 2, 3)) * snr.clamp(max=5.0)
    assert_close(of_answer, of_image)


def test_ratio_parity_with_diffusers() -> None:
    assert_close(SCHEDULE.snr[T], compute_snr(theirs("eps"), T).double(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize(("target", "weight"), [("eps", 1.0), ("x0", 0.0), ("v", 0.0)])
def test_min_snr_has_its_limit_where_nothing_of_the_image_is_left(target: Target, weight: float) -> None:
    assert_close(min_snr_weight(target, torch.tensor([0.0, 1e-45]), 5.0), torch.full((2,), weight))
