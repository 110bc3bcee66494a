"""Guidance u + g (c - u): exact ends, cost, and where it may be applied."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from models.guidance import guided

LABELS = torch.tensor([2, 5, 7])
LEVEL = torch.tensor([0.5, 0.5, 0.5])


class Counting:
    """A conditional prediction that remembers the size of every batch and each row's label, level and mask."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        self.batches.append(len(x))
        return x.sin() + level.view(-1, 1, 1, 1) + (keep * (labels + 1)).view(-1, 1, 1, 1)


def images() -> Tensor:
    return torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def unconditional(x: Tensor) -> Tensor:
    return Counting()(x, LEVEL, LABELS, torch.zeros(3))


def conditional(x: Tensor) -> Tensor:
    return Counting()(x, LEVEL, LABELS, torch.ones(3))


def test_zero_is_exactly_unconditional_and_one_exactly_conditional() -> None:
    x = images()
    assert torch.equal(guided(Counting(), LABELS, 0.0)(x, LEVEL), unconditional(x))
    assert torch.equal(guided(Counting(), LABELS, 1.0)(x, LEVEL), conditional(x))


@pytest.mark.parametrize("g", [0.3, 1.7, 4.0])
def test_other_values_follow_the_formula(g: float) -> None:
    x = images()
    u, c = unconditional(x), conditional(x)
    assert_close(guided(Counting(), LABELS, g)(x, LEVEL), u + g * (c - u))


@pytest.mark.parametrize("g", [1.7, 7.5])
def test_predictions_in_bfloat16_are_combined_in_float32(g: float) -> None:
    x = images()

    def rounded(*arguments: Tensor) -> Tensor:
        return Counting()(*arguments).bfloat16()

    u, c = unconditional(x).bfloat16().float(), conditional(x).bfloat16().float()
    found = guided(rounded, LABELS, g)(x, LEVEL)
    assert found.dtype == torch.float32
    assert torch.equal(found, u + g * (c - u))


@pytest.mark.parametrize(("g", "batches"), [(0.0, [3]), (1.0, [3]), (0.5, [6]), (2.0, [6])])
def test_cost_is_one_batch_doubled_only_when_needed(g: float, batches: list[int]) -> None:
    predict = Counting()
    guided(predict, LABELS, g)(images(), LEVEL)
    assert predict.batches == batches


def test_guiding_the_noise_equals_guiding_the_clean_image() -> None:
    """x0 = x - sigma * eps is affine in eps, and the weights g and 1 - g add to one."""
    x = images()

    def denoise(x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        return x - 0.5 * Counting()(x, level, labels, keep)

    assert_close(guided(denoise, LABELS, 1.7)(x, LEVEL), x - 0.5 * guided(Counting(), LABELS, 1.7)(x, LEVEL))


@pytest.mark.parametrize("g", [1.0, 2.0])
def test_no_gradients_are_recorded(g: float) -> None:
    x = images().requires_grad_()
    assert not guided(Counting(), LABELS, g)(x, LEVEL).requires_grad
    assert torch.is_grad_enabled()
