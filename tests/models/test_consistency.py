"""Jumps on Gaussian data, where the exact answer is known; the tuning's loss by hand; its place in the training."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.consistency import SOFTNESS, jumps, pseudo_huber, share_of_answer, weaker_share
from models.ddpm import Ddpm
from models.diffusion import Draw
from models.edm import Edm
from models.noise import ImageNoise
from models.predictions import Predict
from models.sampler_spec import SigmaSamplerSpec
from models.sigma_levels import sigma_grid
from models.training import Batch, Learner, build_optimizers, lr_factor, train_steps
from tests.models.processes import ddpm, edm
from tests.models.test_training import SPEC, Scaled

MEAN, STD = -0.4, 0.5
SIGMA_MAX = 2.0
TUNED = replace(SPEC, steps=10, consistency_steps=4, waypoint=0.6)


def endpoint(x: Tensor, sigma: Tensor) -> Tensor:
    """Where the ODE leads from x for data N(m, s^2): the answer of a perfect consistency model."""
    return MEAN + STD * (x - MEAN) / (STD**2 + sigma.view(-1, 1, 1, 1).square()).sqrt()


def on_the_way(x: Tensor, sigma: Tensor, waypoint: float) -> Tensor:
    """D of a perfect model whose jumps from beyond the waypoint land there, at D + (s / t) (x - D)."""
    t = sigma.view(-1, 1, 1, 1)
    reached = MEAN + (x - MEAN) * ((STD**2 + waypoint**2) / (STD**2 + t**2)).sqrt()
    left = waypoint / t
    return torch.where(t > waypoint, (reached - left * x) / (1.0 - left), endpoint(x, sigma))


def expectation(x: Tensor, sigma: Tensor) -> Tensor:
    """E[x0 | x] for the same data: the answer of a perfect denoiser."""
    variance = sigma.view(-1, 1, 1, 1).square()
    return (STD**2 * x + variance * MEAN) / (STD**2 + variance)


def moments(answer: Predict, steps: int) -> tuple[float, float]:
    """Mean and standard deviation of what jumps return from N(m, s^2 + sigma_max^2), exactly.

    A result is a + b * start + sum of c_k * z_k; one image is run for each of these numbers, the first for a.
    """
    units = torch.eye(steps + 1, dtype=torch.float64)[:, 1:]  # of the start, then of each fresh noise
    inputs = iter(units.unbind(dim=1))
    grid = sigma_grid(steps, 0.3, SIGMA_MAX, 7.0)

    def drawn() -> Tensor:
        return next(inputs).view(-1, 1, 1, 1)

    results = list(jumps(answer, grid, drawn(), drawn))[-1].x.flatten()
    a, b, *c = [results[0], *(results[1:] - results[0])]
    variance = b**2 * (STD**2 + SIGMA_MAX**2) + sum(each**2 for each in c)
    return float(a + b * MEAN), float(variance**0.5)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_jumps_of_a_perfect_consistency_model_return_the_data_in_any_number(steps: int) -> None:
    assert moments(endpoint, steps) == pytest.approx((MEAN, STD), abs=1e-12)


@pytest.mark.parametrize("waypoint", [0.3, 0.6, 1.5])
def test_jumps_of_a_perfect_model_by_a_waypoint_return_the_data(waypoint: float) -> None:
    """Without fresh noise they are a linear map of the start, from N(m, s^2 + sigma_max^2) to N(m, s^2)."""
    grid = [SIGMA_MAX, waypoint, 0.0]
    starts = torch.tensor([0.0, 1.0], dtype=torch.float64).view(-1, 1, 1, 1)
    results = list(jumps(lambda x, sigma: on_the_way(x, sigma, waypoint), grid, starts, None))[-1].x.flatten()
    a, b = float(results[0]), float(results[1] - results[0])
    assert a + b * MEAN == pytest.approx(MEAN, abs=1e-12)
    assert abs(b) * (STD**2 + SIGMA_MAX**2) ** 0.5 == pytest.approx(STD, abs=1e-12)


def test_jumps_from_both_levels_of_a_target_land_at_the_same_place() -> None:
    """At the waypoint, wherever the weaker level lies; the place is the image at the waypoint where that is beyond."""
    x0, eps, answer = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    waypoint, sigma = 0.6, torch.full((5,), 2.0, dtype=torch.float64)
    weaker = torch.tensor([0.3, 0.6, 0.7, 1.5, 1.9], dtype=torch.float64)
    share = share_of_answer(weaker, sigma, waypoint)
    target = share * answer + (1.0 - share) * x0
    landed = target + waypoint / sigma * (x0 + sigma * eps - target)
    place = answer + waypoint / weaker * (x0 + weaker * eps - answer)
    assert_close(landed, torch.where(weaker > waypoint, place, x0 + waypoint * eps))
    assert torch.equal(share[:2], torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("waypoint", [0.0, 2.0, 5.0])
def test_the_target_is_the_answer_alone_where_jumps_lead_to_the_image(waypoint: float) -> None:
    sigma = torch.tensor([0.01, 1.0, 2.0])
    assert torch.equal(share_of_answer(0.5 * sigma, sigma, waypoint), torch.ones(3))


def test_a_denoiser_that_jumps_returns_averages() -> None:
    """What tuning is for: in one jump of a perfect denoiser, s^2 / (s^2 + sigma^2) of the variance is left."""
    mean, spread = moments(expectation, 1)
    assert mean == pytest.approx(MEAN)
    assert spread == pytest.approx(STD * (STD**2 / (STD**2 + SIGMA_MAX**2)) ** 0.5)
    assert spread < moments(expectation, 2)[1] < STD


def test_the_steps_are_the_looks_and_end_in_the_last_answer() -> None:
    noise, seen = ImageNoise([1]), []
    grid = sigma_grid(2, 1.0, SIGMA_MAX, 7.0)
    for step in jumps(endpoint, grid, noise.draw(), noise.draw):
        seen.append((step.index, step.total, step.level))
        last = step
    assert seen == [(0, 2, pytest.approx(2.0)), (1, 2, pytest.approx(1.0)), (2, 2, 0.0)]
    assert torch.equal(last.x, last.x0)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.5), (0.24, 0.5), (0.25, 0.75), (0.5, 0.875), (0.999, 0.9375)])
def test_the_target_moves_towards_the_answer(progress: float, share: float) -> None:
    assert weaker_share(progress) == share


def test_pseudo_huber_is_quadratic_near_zero_and_grows_with_the_error_far_from_it() -> None:
    small, large = torch.tensor(1e-4, dtype=torch.float64), torch.tensor(10.0, dtype=torch.float64)
    assert pseudo_huber(torch.zeros(1)).item() == 0.0
    assert_close(pseudo_huber(small**2), small**2 / (2.0 * SOFTNESS), rtol=1e-5, atol=0.0)
    assert_close(pseudo_huber(large**2), large - SOFTNESS, rtol=1e-5, atol=0.0)


class Mixing(nn.Module):
    """A network of two parameters, one of them in a convolution, which autocast rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            self.convolution.weight.fill_(0.3)
            self.convolution.bias.fill_(0.1)  # type: ignore[union-attr]

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        answer: Tensor = self.convolution(x)
        return answer * (1.0 + level.view(-1, 1, 1, 1))


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x0, eps = (torch.randn(4, 1, 28, 28, generator=generator) for _ in range(2))
    level = torch.tensor([0.05, 0.3, 1.0, 3.0])
    return Batch(0.5 * x0, torch.zeros(4, dtype=torch.int64), torch.ones(4), Draw(level, eps), seed)


def consistency_loss(model: Edm, of: Batch, share: float, waypoint: float = 0.0) -> Tensor:
    return model.consistency_loss(of.x0, of.labels, of.keep, of.draw, share, waypoint)


@pytest.mark.parametrize("waypoint", [0.0, 0.4, 0.9])
def test_the_loss_and_its_gradient_are_those_of_the_formula(waypoint: float) -> None:
    model, asked, share = Edm(Mixing(), edm()), batch(), 0.75
    losses = consistency_loss(model, asked, share, waypoint)
    torch.autograd.backward(losses.mean())
    found = [parameter.grad for parameter in model.parameters()]
    sigma = asked.draw.level

    def answer(level: Tensor) -> Tensor:
        return model.denoise(asked.x0 + level.view(-1, 1, 1, 1) * asked.draw.eps, level, asked.labels, asked.keep)

    beyond = [max(1.0 - waypoint / (share * t), 0.0) / (1.0 - waypoint / t) if t > waypoint else 1.0 for t in sigma]
    told = torch.tensor(beyond).view(-1, 1, 1, 1)
    target = told * answer(share * sigma).detach() + (1.0 - told) * asked.x0
    apart = (answer(sigma) - target).square().mean(dim=(1, 2, 3))
    c_out = sigma * 0.5 / (sigma**2 + 0.5**2).sqrt()
    expected = (apart / c_out**2 + SOFTNESS**2).sqrt() - SOFTNESS
    assert_close(losses, expected)
    assert_close(found, list(torch.autograd.grad(expected.mean(), list(model.parameters()))))


def test_the_loss_has_gradients_under_autocast_which_keeps_copies_of_the_weights() -> None:
    model = Edm(Mixing(), edm())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = consistency_loss(model, batch(), 0.5).mean()
    torch.autograd.backward(loss)
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0.0 for parameter in model.parameters())


def test_a_model_that_answers_alike_everywhere_loses_nothing() -> None:
    """D = x0 on every way: an isotropic prior's guess is not, so the images are 0 and the network cancels the noise."""

    class Cancelling(nn.Module):
        def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
            sigma = (4.0 * level).exp().view(-1, 1, 1, 1)
            return -(0.5 / sigma) * x  # c_skip * x + c_out * this = 0 where x = sigma * eps

    still = replace(batch(), x0=torch.zeros(4, 1, 28, 28))
    model = Edm(Cancelling(), edm())
    assert_close(consistency_loss(model, still, 0.5), torch.zeros(4), rtol=0.0, atol=1e-6)


def test_a_discrete_process_cannot_be_tuned() -> None:
    asked = batch()
    model = Ddpm(Scaled(), ddpm())
    with pytest.raises(TypeError, match="Ddpm cannot be tuned to jump"):
        model.consistency_loss(asked.x0, asked.labels, asked.keep, asked.draw, 0.5, 0.0)
    with pytest.raises(TypeError, match="Ddpm cannot be tuned to jump"):
        model.draw_evenly(4, torch.Generator())


def test_the_levels_are_even_in_the_log_over_the_noise_scale() -> None:
    drawn = Edm(Mixing(), edm()).draw_evenly(1000, torch.Generator().manual_seed(2))
    low, high = -1.0 - 3 * 1.2, -1.0 + 3 * 1.2
    places = (drawn.level.double().log() - low) / (high - low)
    assert_close(places.sort().values.mul(1000).floor(), torch.arange(1000, dtype=torch.float64), rtol=0.0, atol=1.0)
    assert drawn.eps.shape == (1000, 1, 28, 28)
    assert not torch.equal(places, places.sort().values)


def test_the_learning_rate_falls_twice() -> None:
    spec = replace(TUNED, warmup_steps=2, decay="linear")
    expected = [1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25, 0.1, 0.075, 0.05, 0.025]
    assert [lr_factor(step, spec) for step in range(10)] == pytest.approx(expected)
    constant = [lr_factor(step, TUNED) for step in range(10)]
    assert constant == pytest.approx([1.0] * 6 + [0.1, 0.075, 0.05, 0.025])


class Noting(Edm):
    """Notes which loss it was asked for."""

    asked: list[float | None]

    def loss(self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw) -> Tensor:
        self.asked.append(None)
        return super().loss(x0, labels, keep, draw)

    def consistency_loss(
        self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw, share: float, waypoint: float
    ) -> Tensor:
        assert waypoint == TUNED.waypoint
        self.asked.append(share)
        return super().consistency_loss(x0, labels, keep, draw, share, waypoint)


@pytest.mark.parametrize("start", [0, 7])
def test_the_last_steps_tune_wherever_the_training_was_taken_up(start: int) -> None:
    model = Noting(Mixing(), edm())
    model.asked = []

    def given() -> Iterator[Batch]:
        yield from (batch(step) for step in range(start, 10))

    learner = Learner(model, build_optimizers(model, TUNED), TUNED, contextlib.nullcontext())
    reports = list(train_steps(learner, given(), start))
    assert model.asked == [*[None] * 6, 0.5, 0.75, 0.875, 0.9375][start:]
    assert [report.step for report in reports] == list(range(start + 1, 11))


@pytest.mark.parametrize("kind", ["consistency", "multistep_consistency"])
def test_an_edm_jumps_from_its_start_at_sigma_max(kind: Literal["consistency", "multistep_consistency"]) -> None:
    sampler = SigmaSamplerSpec(
        kind=kind,
        steps=2,
        churn=0.0,
        sigma_min=1.0,
        sigma_max=20.0,
        mended_below=1000.0,
        rho=7.0,
        guidance=1.0,
        guide="unlabelled",
        guided_sigma=(),
        start="noise",
    )
    model, labels, noise = Edm(Mixing(), edm()), torch.tensor([3]), ImageNoise([5])
    steps = list(model.sample(sampler, ImageNoise([5]), labels))
    start, fresh = noise.draw(), noise.draw()

    def answer(x: Tensor, sigma: float) -> Tensor:
        return model.denoise(x, torch.tensor([sigma]), labels, torch.ones(1)).detach()

    first = answer(20.0 * start, 20.0)
    kept = fresh if kind == "consistency" else (20.0 * start - first) / 20.0
    assert_close(steps[-1].x, answer(first + 1.0 * kept, 1.0))
