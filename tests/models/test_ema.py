"""The averaged weights against the average written out."""

import math

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
    """theta_N = sum of (1 - k_n) * (product of the later k) * w_n, with k_n = min(decay, (1 + n) / (10 + n))."""
    values, decay = [2.0, -1.0, 4.0, 0.5, 3.0, 7.0, -2.0, 1.0], 0.4
    model = Toy(1.0)
    ema = Ema(model, decay)
    kept = [min(decay, (1 + n) / (10 + n)) for n in range(len(values))]
    for n, value in enumerate(values):
        ema.update(filled(model, value), n)
    expected = math.prod(kept) * 1.0
    expected += sum((1 - kept[n]) * math.prod(kept[n + 1 :]) * value for n, value in enumerate(values))
    assert kept[-1] == decay
    assert kept[0] == 0.1
    assert_close(ema.model.weight, torch.full((3,), expected, dtype=torch.float64))


def test_warm_up_forgets_the_first_weights_by_the_closed_product() -> None:
    """With decay 1 - 1e-9 the share of the start left after N updates is N! 9! / (N + 9)!."""
    ema = Ema(Toy(1.0), 1.0 - 1e-9)
    for n in range(20):
        ema.update(Toy(0.0), n)
    left = math.factorial(20) * math.factorial(9) / math.factorial(29)
    assert ema.model.weight[0].item() == pytest.approx(left, rel=1e-9)


def test_steady_state_lags_by_a_geometric_series() -> None:
    """A jump from 0 to 1 is followed as 1 - decay^m."""
    model = Toy(0.0)
    ema = Ema(model, 0.5)
    for n in range(60):
        ema.update(model, n)
    for m in range(1, 6):
        ema.update(filled(model, 1.0), 59 + m)
        assert ema.model.weight[0].item() == pytest.approx(1.0 - 0.5**m, rel=1e-12)


def test_decay_zero_is_the_model_itself() -> None:
    model = Toy(1.0)
    ema = Ema(model, 0.0)
    ema.update(filled(model, 0.1), 0)
    assert torch.equal(ema.model.weight, model.weight)


def test_buffers_are_taken_over_when_the_copy_is_made() -> None:
    model = Toy(1.0)
    ema = Ema(model, 0.9)
    ema.update(filled(model, 6.0), 0)
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
    ema = Ema(model, 0.9)
    ema.update(filled(model, 3.0), 0)
    assert model.training
    assert model.weight.requires_grad
    assert not ema.model.training
    assert not ema.model.weight.requires_grad
    assert not list(p for p in ema.parameters() if p.requires_grad)


def test_restored_average_continues_bit_for_bit() -> None:
    model = Toy(1.0)
    unbroken = Ema(model, 0.999)
    for n, value in enumerate((2.0, 5.0, 3.0)):
        unbroken.update(filled(model, value), n)
    resumed = Ema(Toy(9.0), 0.999)
    resumed.load_state_dict(unbroken.state_dict())
    for n, value in enumerate((8.0, 0.3), start=3):
        unbroken.update(filled(model, value), n)
        resumed.update(model, n)
    assert torch.equal(resumed.model.weight, unbroken.model.weight)
    assert sorted(unbroken.state_dict()) == ["model.count", "model.statistic", "model.weight"]


def test_saved_state_does_not_share_memory_with_the_model() -> None:
    model = Toy(1.0)
    ema = Ema(model, 0.9)
    filled(model, 5.0)
    assert_close(ema.model.weight, torch.ones(3, dtype=torch.float64))
