"""Operations are those that one counts by hand, and rates are not misled by a pause."""

import pytest
import torch

from benchmarks.speed import convolution_rate, flops, median_rate
from models.layers import conv3x3
from models.spec import EdmUNetSpec

FORWARD = 2 * (4 * 14 * 14) * (8 * 3 * 3 * 3)
"""A multiplication and an addition for each of 4 images' pixels, 8 outputs and 3 inputs of 3x3."""


def test_a_convolution_has_the_operations_counted_by_hand() -> None:
    layer, x = conv3x3(3, 8), torch.zeros(4, 3, 14, 14)
    assert flops(lambda: layer(x)) == FORWARD


def test_backward_costs_as_much_for_the_weights_and_again_for_the_maps() -> None:
    layer, x = conv3x3(3, 8), torch.zeros(4, 3, 14, 14)
    assert flops(lambda: torch.autograd.backward(layer(x).sum())) == 2 * FORWARD
    x.requires_grad_()
    assert flops(lambda: torch.autograd.backward(layer(x).sum())) == 3 * FORWARD


def test_rates_are_medians_over_windows() -> None:
    steady = [(float(second), 100 * second) for second in range(1, 12)]
    stalled = [(seconds + (30.0 if seconds > 5.0 else 0.0), images) for seconds, images in steady]
    assert median_rate(steady, 2.0) == pytest.approx(100.0)
    assert median_rate(stalled, 2.0) == pytest.approx(100.0)


def test_steps_within_less_than_a_window_are_one() -> None:
    assert median_rate([(1.0, 10), (1.5, 60), (2.0, 90)], 5.0) == pytest.approx(80.0)


def test_the_rate_of_a_convolution_is_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a second a call, it is what the larger of the two convolutions has to do."""
    monkeypatch.setattr("benchmarks.speed._seconds", lambda work: 1.0)
    network = EdmUNetSpec(kind="edm_unet", patch=2, channels=(16, 32), blocks=(1, 1), heads=1, embedding=8, dropout=0.0)
    larger = 3 * 2 * (2 * 7 * 7) * (32 * 32 * 9)
    assert convolution_rate(network, 2, torch.float32) == pytest.approx(larger / 1e9)
