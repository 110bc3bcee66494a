"""Guidance w + g (c - w): exact ends, cost, where it may be applied, and by whom."""

import itertools
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.ddpm import Ddpm
from models.edm import Edm
from models.guidance import Guidance, guidance_of, guided
from models.noise import ImageNoise
from tests.models.processes import ddpm, edm
from tests.tasks.small_variants import COURSE, FLAGSHIP

Kind = Literal["dpmpp_2m", "dpmpp_3m", "ipndm", "unipc"]

LABELS = torch.tensor([2, 5, 7])
LEVEL = 0.5


class Counting:
    """A conditional prediction that shows level, label and mask, and remembers the size of every batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, x: Tensor, level: float, labels: Tensor, keep: Tensor) -> Tensor:
        self.batches.append(len(x))
        return x.sin() + level + (keep * (labels + 1)).view(-1, 1, 1, 1)


def images() -> Tensor:
    return torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def unconditional(x: Tensor) -> Tensor:
    return Counting()(x, LEVEL, LABELS, torch.zeros(3))


def conditional(x: Tensor) -> Tensor:
    return Counting()(x, LEVEL, LABELS, torch.ones(3))


def test_zero_is_exactly_unconditional_and_one_exactly_conditional() -> None:
    x = images()
    assert torch.equal(guided(Counting(), LABELS, Guidance(0.0))(x, LEVEL), unconditional(x))
    assert torch.equal(guided(Counting(), LABELS, Guidance(1.0))(x, LEVEL), conditional(x))


@pytest.mark.parametrize("g", [0.3, 1.7, 4.0])
def test_other_values_follow_the_formula(g: float) -> None:
    x = images()
    u, c = unconditional(x), conditional(x)
    assert_close(guided(Counting(), LABELS, Guidance(g))(x, LEVEL), u + g * (c - u))


@pytest.mark.parametrize("g", [1.7, 7.5])
def test_predictions_in_bfloat16_are_combined_in_float32(g: float) -> None:
    x = images()

    def rounded(x: Tensor, level: float, labels: Tensor, keep: Tensor) -> Tensor:
        return Counting()(x, level, labels, keep).bfloat16()

    u, c = unconditional(x).bfloat16().float(), conditional(x).bfloat16().float()
    found = guided(rounded, LABELS, Guidance(g))(x, LEVEL)
    assert found.dtype == torch.float32
    assert torch.equal(found, c + (g - 1.0) * (c - u))


@pytest.mark.parametrize(("g", "batches"), [(0.0, [3]), (1.0, [3]), (0.5, [6]), (2.0, [6])])
def test_cost_is_one_batch_doubled_only_when_needed(g: float, batches: list[int]) -> None:
    predict = Counting()
    guided(predict, LABELS, Guidance(g))(images(), LEVEL)
    assert predict.batches == batches


def test_guiding_the_noise_equals_guiding_the_clean_image() -> None:
    """x0 = x - sigma * eps is affine in eps, and the weights g and 1 - g add to one."""
    x = images()

    def denoise(x: Tensor, level: float, labels: Tensor, keep: Tensor) -> Tensor:
        return x - 0.5 * Counting()(x, level, labels, keep)

    assert_close(
        guided(denoise, LABELS, Guidance(1.7))(x, LEVEL), x - 0.5 * guided(Counting(), LABELS, Guidance(1.7))(x, LEVEL)
    )


@pytest.mark.parametrize("g", [1.0, 2.0])
def test_no_gradients_are_recorded(g: float) -> None:
    x = images().requires_grad_()
    assert not guided(Counting(), LABELS, Guidance(g))(x, LEVEL).requires_grad
    assert torch.is_grad_enabled()


class Worse(Counting):
    """A worse model: half of every prediction."""

    def __call__(self, x: Tensor, level: float, labels: Tensor, keep: Tensor) -> Tensor:
        return 0.5 * super().__call__(x, level, labels, keep)


@pytest.mark.parametrize("g", [0.0, 1.0, 0.4, 2.5])
def test_a_worse_model_that_knows_the_class_can_be_the_guide(g: float) -> None:
    x = images()
    c = conditional(x)
    assert_close(guided(Counting(), LABELS, Guidance(g, Worse()))(x, LEVEL), 0.5 * c + g * (c - 0.5 * c))


@pytest.mark.parametrize(("g", "looks"), [(0.0, ([], [3])), (1.0, ([3], [])), (2.0, ([3], [3]))])
def test_each_model_is_asked_only_when_it_counts(g: float, looks: tuple[list[int], list[int]]) -> None:
    predict, worse = Counting(), Worse()
    guided(predict, LABELS, Guidance(g, worse))(images(), LEVEL)
    assert (predict.batches, worse.batches) == looks


@pytest.mark.parametrize(("interval", "acts"), [((0.5, 1.0), True), ((0.0, 0.5), True), ((0.6, 1.0), False)])
def test_outside_its_interval_guidance_leaves_the_prediction_as_it_is(
    interval: tuple[float, float], acts: bool
) -> None:
    x, predict = images(), Counting()
    found = guided(predict, LABELS, Guidance(3.0, None, interval))(x, LEVEL)
    assert torch.equal(found, guided(Counting(), LABELS, Guidance(3.0 if acts else 1.0))(x, LEVEL))
    assert predict.batches == [6 if acts else 3]


def test_an_early_state_that_is_missing_is_said() -> None:
    sampler = replace(FLAGSHIP.sampling, guidance=2.0, guide="early")
    with pytest.raises(ValueError, match="an early state that is not given"):
        guidance_of(sampler, None)
    assert guidance_of(sampler, Worse()).guide is not None
    assert guidance_of(replace(sampler, guide="unlabelled"), Worse()).guide is None


class Told(Edm):
    """A model whose clean image is 1 where it is told the class and 0 where it is not, whatever it sees."""

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        return keep.view(-1, 1, 1, 1).expand_as(x)


@pytest.mark.parametrize(("weakest", "guided_levels"), [(0.1, 3), (0.3, 2), (0.5, 1)])
@pytest.mark.parametrize("kind", ["dpmpp_2m", "dpmpp_3m", "ipndm", "unipc"])
def test_what_remembers_draws_no_curve_through_the_ends_of_guidance(
    kind: Kind, weakest: float, guided_levels: int
) -> None:
    """Towards a constant D the ODE is solved exactly by one step of any order: x' = D + sigma' / sigma * (x - D).

    With guidance 3 between two levels, D is 3 there and 1 elsewhere; fewer levels lie there than a solver remembers.
    """
    process = Told(nn.Identity(), edm())
    start = replace(FLAGSHIP.sampling, kind=kind, start="noise", steps=18, sigma_min=0.002, sigma_max=40.0)
    sampler = replace(start, guidance=3.0, guided_sigma=(weakest, 1.0))
    steps = list(process.sample(sampler, ImageNoise([1]), torch.tensor([3])))
    x = steps[0].x.double()
    goals = []
    for step, following in itertools.pairwise(steps):
        goals.append(3.0 if weakest <= step.level <= 1.0 else 1.0)
        x = goals[-1] + following.level / step.level * (x - goals[-1])
        assert_close(following.x.double(), x, rtol=1e-5, atol=1e-5)
    assert goals.count(3.0) == guided_levels
    assert min(goals.index(3.0), goals[::-1].index(3.0)) >= 3


class Unmoved(Told):
    """A model that shrinks what it sees, whether or not it is told the class."""

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        return x / (1.0 + sigma.view(-1, 1, 1, 1) ** 2)


@pytest.mark.parametrize("kind", ["dpmpp_2m", "dpmpp_3m", "unipc"])
def test_guidance_that_adds_nothing_costs_no_order(kind: Kind) -> None:
    """Not so for slopes, which are forgotten where guidance sets in."""
    process, plain = Unmoved(nn.Identity(), edm()), replace(FLAGSHIP.sampling, kind=kind, steps=9)
    led = replace(plain, guidance=3.0, guided_sigma=(0.1, 1.0))
    found, wanted = (
        list(process.sample(sampler, ImageNoise([1]), torch.tensor([3])))[-1].x for sampler in (led, plain)
    )
    assert torch.equal(found, wanted)


def test_a_guide_of_another_process_is_refused() -> None:
    continuous, discrete = Told(nn.Identity(), edm()), Ddpm(nn.Identity(), ddpm(10, 0.001, 0.2))
    noise, labels = ImageNoise([1]), torch.tensor([3])
    with pytest.raises(TypeError, match="an EDM cannot be guided by a model of another process"):
        continuous.sample(FLAGSHIP.sampling, noise, labels, guide=discrete)
    with pytest.raises(TypeError, match="a DDPM cannot be guided by a model of another process"):
        discrete.sample(COURSE.sampling, noise, labels, guide=continuous)
