"""The averaged weights against the average written out."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from models.build import build_diffusion
from models.ema import Ema
from tests.tasks.small_variants import VARIANTS


class Toy(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), value, dtype=torch.float64))
        self.register_buffer("statistic", torch.tensor(value))
        self.register_buffer("count", torch.tensor(int(value)))


def filled(model: Toy, value: float) -> Toy:
    with torch.no_grad():
        model.weight.fill_(value)
        model.get_buffer("statistic").fill_(value)
        model.get_buffer("count").fill_(int(value))
    return model


def test_average_equals_the_weighted_sum() -> None:
    """The product of what is kept telescopes: theta_N = sum of (n^e - (n - 1)^e) / N^e * w_n, with e = gamma + 1."""
    values, lag = [2.0, -1.0, 4.0, 0.5, 3.0, 7.0, -2.0, 1.0], 0.2
    model = Toy(1.0)
    ema = Ema(model, lag)
    for n, value in enumerate(values, start=1):
        ema.update(filled(model, value), n)
    power = [(n / len(values)) ** 4 for n in range(len(values) + 1)]
    expected = sum(value * (power[n] - power[n - 1]) for n, value in enumerate(values, start=1))
    assert_close(ema.model.weight, torch.full((3,), expected, dtype=torch.float64))


@pytest.mark.parametrize("lag", [0.02, 0.05, 0.1, 0.3, 0.5])
def test_the_average_of_weights_that_drift_lies_back_by_its_lag(lag: float) -> None:
    """Weights equal to the step: a sum in place of an integral, so exact to half a step of the 5,000 and a little."""
    model = Toy(0.0)
    ema = Ema(model, lag)
    for n in range(1, 5001):
        ema.update(filled(model, float(n)), n)
    assert 1.0 - ema.model.weight[0].item() / 5000 == pytest.approx(lag, abs=1.01 * 0.5 / 5000)


def test_the_longest_average_is_the_mean_of_all() -> None:
    model = Toy(100.0)
    ema = Ema(model, 0.5)
    for n, value in enumerate((3.0, -1.0, 7.0), start=1):
        ema.update(filled(model, value), n)
    assert_close(ema.model.weight, torch.full((3,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("lag", [0.0, 0.05, 0.5])
def test_the_first_update_forgets_the_untrained_weights(lag: float) -> None:
    ema = Ema(Toy(1e6), lag)
    ema.update(Toy(0.1), 1)
    assert_close(ema.model.weight, Toy(0.1).weight.detach(), rtol=0.0, atol=1e-9)


def test_lag_zero_is_the_model_itself() -> None:
    model = Toy(1.0)
    ema = Ema(model, 0.0)
    for n in (1, 2, 700):
        ema.update(filled(model, 0.1 * n), n)
        assert torch.equal(ema.model.weight, model.weight)


def test_buffers_are_taken_over_when_the_copy_is_made() -> None:
    model = Toy(1.0)
    ema = Ema(model, 0.1)
    ema.update(filled(model, 6.0), 1)
    assert ema.model.get_buffer("statistic").item() == 1.0
    assert ema.model.get_buffer("count").item() == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_step_of_training_changes_a_buffer(variant: str) -> None:
    """Else the average would have to follow them."""
    spec = VARIANTS[variant]
    diffusion = build_diffusion(spec.network, spec.process, 1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (400, 28, 28), generator=generator).to(torch.uint8)
    labels = torch.arange(400) % 10
    diffusion.fit_pixels(images.float().mean(0), images.float().std().item())
    diffusion.fit_prior(images, labels, generator)
    before = {name: buffer.clone() for name, buffer in diffusion.named_buffers()}
    draw = diffusion.draw(400, generator)
    diffusion.loss(diffusion.encode(images), labels, torch.ones(400), draw).mean().backward()
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in diffusion.named_buffers())


def test_the_copy_is_separate_in_evaluation_mode_and_without_gradients() -> None:
    model = Toy(1.0)
    ema = Ema(model, 0.1)
    ema.update(filled(model, 3.0), 1)
    assert model.training
    assert model.weight.requires_grad
    assert not ema.model.training
    assert not ema.model.weight.requires_grad
    assert not list(p for p in ema.parameters() if p.requires_grad)


def test_restored_average_continues_bit_for_bit() -> None:
    model = Toy(1.0)
    unbroken = Ema(model, 0.3)
    for n, value in enumerate((2.0, 5.0, 3.0), start=1):
        unbroken.update(filled(model, value), n)
    resumed = Ema(Toy(9.0), 0.3)
    resumed.load_state_dict(unbroken.state_dict())
    for n, value in enumerate((8.0, 0.3), start=4):
        unbroken.update(filled(model, value), n)
        resumed.update(model, n)
    assert torch.equal(resumed.model.weight, unbroken.model.weight)
    assert sorted(unbroken.state_dict()) == ["model.count", "model.statistic", "model.weight"]


def test_saved_state_does_not_share_memory_with_the_model() -> None:
    model = Toy(1.0)
    ema = Ema(model, 0.1)
    filled(model, 5.0)
    assert_close(ema.model.weight, torch.ones(3, dtype=torch.float64))
