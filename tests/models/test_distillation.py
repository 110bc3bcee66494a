"""What a teacher shows, held to its sampler and to the ODE's answer; the student's loss; its place in training."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.ddpm import Ddpm
from models.diffusion import Draw, Lesson
from models.distillation import SOFTNESS, pseudo_huber
from models.edm import Edm
from models.evaluations import evaluations, levels_visited
from models.noise import ImageNoise
from models.sampler_spec import SamplerSpec
from models.sigma_levels import sigma_grid
from models.training import Batch, Learner, build_optimizers, lr_factor, train_steps
from tests.models.processes import along_sigma, ddpm, edm
from tests.models.test_training import SPEC, Scaled

WHOLE = along_sigma("unipc", 6, sigma_min=0.02)
JUMPING = replace(WHOLE, jump_steps=3)
TAUGHT = replace(SPEC, steps=10, distil_steps=4, distilled=JUMPING)
SEEDS, LABELS = [1, 2, 3, 4, 5, 6], torch.tensor([0, 1, 2, 3, 4, 5])


class Mixing(nn.Module):
    """A network of two parameters, which lie in a convolution, so that autocast rounds them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            self.convolution.weight.fill_(0.3)
            self.convolution.bias.fill_(0.1)  # type: ignore[union-attr]

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        answer: Tensor = self.convolution(x)
        return answer * (1.0 + level.view(-1, 1, 1, 1)) + 0.1 * (keep * labels).view(-1, 1, 1, 1)


def lesson_of(model: Edm, sampler: SamplerSpec = JUMPING) -> Lesson:
    return model.lesson(sampler, torch.tensor(SEEDS), LABELS)


def test_a_sampler_that_jumps_leaves_out_the_levels_it_jumps_over() -> None:
    levels = sigma_grid(6, 0.02, 20.0, 7.0)
    assert levels_visited(WHOLE) == levels[:-1]
    assert levels_visited(JUMPING) == levels[:4]
    assert (evaluations(WHOLE), evaluations(JUMPING)) == (6, 4)
    assert (WHOLE.moves, JUMPING.moves) == (6, 4)
    assert evaluations(replace(JUMPING, mended_below=levels[2])) == 2


@pytest.mark.parametrize("kind", ["dpmpp_2m", "dpmpp_3m", "ipndm", "unipc"])
@pytest.mark.parametrize("jump_steps", [2, 3, 6])
def test_whoever_has_learnt_a_lesson_arrives_where_its_teacher_does(kind: str, jump_steps: int) -> None:
    """It is asked at the same places, to the bit: its sampler looks as far back as the whole one does there."""
    model, whole = Edm(Mixing(), edm()), replace(WHOLE, kind=kind)
    jumping = replace(whole, jump_steps=jump_steps)
    lesson, levels = lesson_of(model, jumping), levels_visited(jumping)
    asked = []

    class Perfect(Edm):
        def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
            asked.append(sigma[0].item())
            answer = super().denoise(x, sigma, labels, keep)
            shown = torch.isclose(lesson.sigma, sigma)
            assert torch.equal(x[shown], lesson.x[shown])
            if sigma[0].item() == pytest.approx(levels[-1]):
                return list(model.sample(whole, ImageNoise(SEEDS), LABELS))[-1].x
            assert_close(answer[shown], lesson.answer[shown])
            return answer

    steps = list(Perfect(Mixing(), edm()).sample(jumping, ImageNoise(SEEDS), LABELS))
    assert asked == pytest.approx(levels)
    last = torch.isclose(lesson.sigma, torch.tensor(levels[-1]))
    assert torch.equal(steps[-1].x[last], lesson.answer[last])
    assert last.any()
    assert [step.total for step in steps] == [len(levels)] * (len(levels) + 1)


def test_an_image_is_shown_at_a_level_of_its_own_whoever_takes_it() -> None:
    """So that several processes share a batch as one would take it. Where the prior alone answers none is shown."""
    levels, model = levels_visited(JUMPING), Edm(Mixing(), edm())
    whole = lesson_of(model)
    assert_close(whole.sigma, torch.tensor([levels[seed % 4] for seed in SEEDS]))
    late = replace(JUMPING, mended_below=levels[2])
    assert_close(lesson_of(model, late).sigma, torch.tensor([levels[2 + seed % 2] for seed in SEEDS]))
    for rows in (slice(0, 1), slice(1, 6)):
        share = model.lesson(JUMPING, torch.tensor(SEEDS[rows]), LABELS[rows])
        for part in ("x", "sigma", "answer"):
            assert_close(getattr(share, part), getattr(whole, part)[rows])


def test_many_steps_lead_to_the_answer_of_the_ode() -> None:
    """Of data N(0, s^2) in a network that answers nothing, since then c_skip * x is the perfect denoiser."""

    class Nothing(nn.Module):
        def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
            return torch.zeros_like(x)

    sampler = replace(WHOLE, steps=200, sigma_min=0.002, jump_steps=120)
    level = levels_visited(sampler)[-1]
    found = lesson_of(Edm(Nothing(), edm()), replace(sampler, mended_below=level))
    assert_close(found.answer, 0.5 * found.x / math.hypot(0.5, level), rtol=1e-4, atol=1e-5)


def test_a_lesson_carries_no_gradients() -> None:
    found = lesson_of(Edm(Mixing(), edm()))
    assert not found.x.requires_grad
    assert not found.answer.requires_grad


def test_the_loss_and_its_gradient_are_those_of_the_formula() -> None:
    model = Edm(Mixing(), edm())
    x, image = torch.randn(2, 6, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    sigma = torch.tensor([0.4, 2.0, 0.4, 2.0, 0.4, 2.0])
    lesson = Lesson(x, sigma, image)
    losses = model.distillation_loss(lesson, LABELS)
    torch.autograd.backward(losses.mean())
    found = [parameter.grad for parameter in model.parameters()]
    apart = (model.denoise(x, sigma, LABELS, torch.ones(6)) - image).square().mean(dim=(1, 2, 3))
    c_out = sigma * 0.5 / (sigma**2 + 0.5**2).sqrt()
    expected = (apart / c_out**2 + SOFTNESS**2).sqrt() - SOFTNESS
    assert_close(losses, expected)
    assert_close(found, list(torch.autograd.grad(expected.mean(), list(model.parameters()))))


def test_pseudo_huber_is_quadratic_near_zero_and_grows_with_the_error_far_from_it() -> None:
    small, large = torch.tensor(1e-4, dtype=torch.float64), torch.tensor(10.0, dtype=torch.float64)
    assert pseudo_huber(torch.zeros(1)).item() == 0.0
    assert_close(pseudo_huber(small**2), small**2 / (2.0 * SOFTNESS), rtol=1e-5, atol=0.0)
    assert_close(pseudo_huber(large**2), large - SOFTNESS, rtol=1e-5, atol=0.0)


def test_discrete_processes_and_samplers_neither_teach_nor_learn() -> None:
    model, discrete = Ddpm(Scaled(), ddpm()), Edm(Mixing(), edm())
    with pytest.raises(TypeError, match="Ddpm cannot teach to jump"):
        model.lesson(JUMPING, torch.tensor(SEEDS), LABELS)
    with pytest.raises(TypeError, match="Ddpm cannot be taught to jump"):
        model.distillation_loss(lesson_of(discrete), LABELS)


def test_the_learning_rate_falls_twice() -> None:
    spec = replace(TAUGHT, warmup_steps=2, decay="linear")
    expected = [1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25, 0.1, 0.075, 0.05, 0.025]
    assert [lr_factor(step, spec) for step in range(10)] == pytest.approx(expected)
    constant = [lr_factor(step, TAUGHT) for step in range(10)]
    assert constant == pytest.approx([1.0] * 6 + [0.1, 0.075, 0.05, 0.025])


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x0, eps = (torch.randn(6, 1, 28, 28, generator=generator) for _ in range(2))
    draw = Draw(torch.tensor([0.05, 0.1, 0.3, 1.0, 2.0, 3.0]), eps)
    return Batch(0.5 * x0, LABELS, torch.ones(6), draw, seed, torch.arange(6) + 10 * seed)


class Noting(Edm):
    """Notes what it was asked for: None for its loss, or the lesson."""

    asked: list[Lesson | None]

    def loss(self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw) -> Tensor:
        self.asked.append(None)
        return super().loss(x0, labels, keep, draw)

    def distillation_loss(self, lesson: Lesson, labels: Tensor) -> Tensor:
        self.asked.append(lesson)
        return super().distillation_loss(lesson, labels)


@pytest.mark.parametrize("start", [0, 7])
def test_the_last_steps_are_lessons_wherever_the_training_was_taken_up(start: int) -> None:
    """Of the teacher, which stays as it is, from the seeds of each batch."""
    model, teacher = Noting(Mixing(), edm()), Edm(Mixing(), edm())
    model.asked = []

    def given() -> Iterator[Batch]:
        yield from (batch(step) for step in range(start, 10))

    learner = Learner(model, build_optimizers(model, TAUGHT), TAUGHT, contextlib.nullcontext(), teacher=teacher)
    reports = list(train_steps(learner, given(), start))
    assert [report.step for report in reports] == list(range(start + 1, 11))
    lessons = model.asked[max(0, 6 - start) :]
    assert model.asked[: -len(lessons)] == [None] * max(0, 6 - start)
    for step, found in enumerate(lessons, start=max(6, start)):
        wanted = Edm(Mixing(), edm()).lesson(JUMPING, batch(step).image_seeds, LABELS)
        assert found is not None
        for part in ("x", "sigma", "answer"):
            assert torch.equal(getattr(found, part), getattr(wanted, part))


def test_a_student_learns_in_bfloat16() -> None:
    model, teacher = Edm(Mixing(), edm()), Edm(Mixing(), edm())
    last_alone = replace(JUMPING, mended_below=levels_visited(JUMPING)[-1])
    spec = replace(TAUGHT, steps=400, distil_steps=399, distilled=last_alone, lr=0.3)
    steps = (batch(step) for step in range(1, 400))
    precision = torch.autocast("cpu", dtype=torch.bfloat16)
    learner = Learner(model, build_optimizers(model, spec), spec, precision, teacher=teacher)
    losses = [report.loss for report in train_steps(learner, steps, 1)]
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])
