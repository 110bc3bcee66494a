"""What every sampler promises: the order of its states, where it starts, what it costs, and whom it listens to."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.ddpm import Ddpm
from models.diffusion import Diffusion, SampleStep
from models.edm import Edm
from models.evaluations import evaluations, levels_asked, levels_visited
from models.noise import ImageNoise
from models.sampler_spec import DiscreteSamplerSpec, SamplerSpec, SigmaSamplerSpec
from tests.models.processes import along_sigma, ddpm, edm

DDPM = ddpm(12, 0.01, 0.4)
EDM = edm()


class ClassShift(nn.Module):
    """Elementwise, so that no image can see another: the label, if shown, moves the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        self.images += len(x)
        shift = 0.1 * keep * labels + 0.01 * level
        return 0.5 * x.tanh() + shift.view(-1, 1, 1, 1)


def discrete(kind: str, guidance: float = 1.0) -> DiscreteSamplerSpec:
    if kind == "ddpm":
        return DiscreteSamplerSpec(kind="ddpm", steps=12, eta=1.0, guidance=guidance, guide="unlabelled", start="noise")
    return DiscreteSamplerSpec(kind="ddim", steps=5, eta=0.5, guidance=guidance, guide="unlabelled", start="noise")


def continuous(kind: str, guidance: float = 1.0) -> SigmaSamplerSpec:
    return along_sigma(
        kind.split("+", maxsplit=1)[0], 6, churn=2.0 if kind.endswith("churn") else 0.0, guidance=guidance
    )


def setting(kind: str, guidance: float = 1.0) -> tuple[Diffusion, SamplerSpec]:
    if kind in ("ddpm", "ddim"):
        return Ddpm(ClassShift(), DDPM), discrete(kind, guidance)
    return Edm(ClassShift(), EDM), continuous(kind, guidance)


def path(kind: str, seeds: list[int], labels: list[int], guidance: float = 1.0) -> list[SampleStep]:
    process, sampler = setting(kind, guidance)
    steps: Iterator[SampleStep] = process.sample(sampler, ImageNoise(seeds), torch.tensor(labels))
    return list(steps)


ALONG_SIGMA = ["heun", "heun+churn", "dpmpp_2m", "dpmpp_3m", "ipndm", "unipc"]
ALL = ["ddpm", "ddim", *ALONG_SIGMA]


@pytest.mark.parametrize("kind", ALL)
def test_states_are_counted_from_noise_to_picture(kind: str) -> None:
    steps = path(kind, [1, 2], [0, 3])
    total = steps[0].total
    assert total == setting(kind)[1].steps
    assert [step.index for step in steps] == list(range(total + 1))
    levels = [step.level for step in steps]
    assert levels == sorted(levels, reverse=True)
    assert len(set(levels)) == len(levels)
    assert all(step.x.shape == step.x0.shape == (2, 1, 28, 28) for step in steps)
    assert torch.equal(steps[-1].x, steps[-1].x0)


@pytest.mark.parametrize("kind", sorted({*ALONG_SIGMA} - {"heun+churn"}))
def test_sigma_samplers_run_from_sigma_max_to_exactly_zero(kind: str) -> None:
    steps = path(kind, [1, 2], [0, 3])
    assert steps[0].level == pytest.approx(20.0)
    assert steps[-2].level == pytest.approx(0.01)
    assert steps[-1].level == 0.0
    assert torch.equal(steps[0].x, 20.0 * ImageNoise([1, 2]).draw())


@pytest.mark.parametrize("kind", sorted({*ALONG_SIGMA} - {"heun+churn"}))
def test_sigma_samplers_crowd_their_levels_as_rho_says(kind: str) -> None:
    sampler = replace(continuous(kind), steps=5, sigma_min=2.0, sigma_max=10.0, rho=1.0)
    steps = Edm(ClassShift(), EDM).sample(sampler, ImageNoise([1]), torch.tensor([0]))
    assert [step.level for step in steps] == pytest.approx([10.0, 8.0, 6.0, 4.0, 2.0, 0.0])
    assert sorted(set(levels_visited(sampler))) == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0])


@pytest.mark.parametrize("kind", ALONG_SIGMA)
def test_the_last_step_leaves_no_noise(kind: str) -> None:
    """The picture is the last denoised image, not that image with a rest of noise."""
    steps = path(kind, [1, 2], [0, 3])
    torch.testing.assert_close(steps[-1].x, steps[-2].x0)


@pytest.mark.parametrize("kind", ["ddpm", "ddim"])
def test_discrete_samplers_run_from_the_last_step_to_finished(kind: str) -> None:
    steps = path(kind, [1, 2], [0, 3])
    assert steps[0].level == 11.0
    assert steps[-1].level == -1.0
    assert torch.equal(steps[0].x, ImageNoise([1, 2]).draw())
    torch.testing.assert_close(steps[-1].x, steps[-2].x0)


@pytest.mark.parametrize("kind", ALL)
def test_an_image_depends_on_its_own_seed_and_label_alone(kind: str) -> None:
    together = path(kind, [11, 5, 8], [2, 7, 1], guidance=1.5)[-1].x
    alone = path(kind, [5], [7], guidance=1.5)[-1].x
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("kind", ALL)
def test_the_same_seeds_give_the_same_images(kind: str) -> None:
    assert torch.equal(path(kind, [4, 9], [0, 1])[-1].x, path(kind, [4, 9], [0, 1])[-1].x)


@pytest.mark.parametrize("kind", ALL)
def test_without_guidance_the_label_has_no_effect(kind: str) -> None:
    assert torch.equal(path(kind, [4], [0], guidance=0.0)[-1].x, path(kind, [4], [9], guidance=0.0)[-1].x)
    assert not torch.equal(path(kind, [4], [0], guidance=1.0)[-1].x, path(kind, [4], [9], guidance=1.0)[-1].x)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("kind", ALL)
def test_the_cost_is_what_evaluations_says(kind: str, guidance: float) -> None:
    process, sampler = setting(kind, guidance)
    list(process.sample(sampler, ImageNoise([1, 2, 3]), torch.tensor([0, 1, 2])))
    assert isinstance(process.network, ClassShift)
    assert process.network.images == 3 * evaluations(sampler)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.5, 20.0), (0.01, 0.01001), (30.0, 40.0)])
@pytest.mark.parametrize("kind", ALONG_SIGMA)
def test_the_cost_of_guidance_between_two_levels_is_counted_too(kind: str, ends: tuple[float, float]) -> None:
    process, sampler = setting(kind, 1.5)
    assert isinstance(sampler, SigmaSamplerSpec)
    sampler = replace(sampler, guided_sigma=ends)
    list(process.sample(sampler, ImageNoise([1, 2, 3]), torch.tensor([0, 1, 2])))
    assert isinstance(process.network, ClassShift)
    assert process.network.images == 3 * evaluations(sampler)


@pytest.mark.parametrize("kind", ["ddpm", "ddim", "heun+churn", "dpmpp_2m"])
def test_an_early_state_guides_and_is_asked_as_often(kind: str) -> None:
    process, sampler = setting(kind, 2.0)
    early, sampler = setting(kind)[0], replace(sampler, guide="early")
    noise, labels = [4, 5], torch.tensor([0, 9])
    *_, last = process.sample(sampler, ImageNoise(noise), labels, guide=early)
    assert isinstance(early.network, ClassShift)
    assert early.network.images == len(noise) * evaluations(sampler) / 2
    assert torch.equal(last.x, path(kind, noise, labels.tolist())[-1].x)  # an equal guide changes nothing


@pytest.mark.parametrize(("kind", "looks"), [("ddpm", 12), ("ddim", 5), ("heun", 11), ("dpmpp_2m", 6), ("unipc", 6)])
def test_evaluations_per_image(kind: str, looks: int) -> None:
    assert evaluations(setting(kind)[1]) == looks
    assert evaluations(setting(kind, 0.0)[1]) == looks
    assert evaluations(setting(kind, 2.0)[1]) == 2 * looks


@pytest.mark.parametrize("kind", ALL)
def test_sampling_records_no_gradients(kind: str) -> None:
    class Scaled(ClassShift):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
            return self.scale * super().forward(x, level, labels, keep)

    process, sampler = setting(kind)
    process.network = Scaled()
    steps = process.sample(sampler, ImageNoise([1]), torch.tensor([0]))
    assert torch.is_grad_enabled()
    assert not any(step.x.requires_grad or step.x0.requires_grad for step in steps)


@pytest.mark.parametrize("kind", ALONG_SIGMA)
def test_one_step_is_one_look(kind: str) -> None:
    sampler = replace(continuous(kind), steps=1)
    steps = list(Edm(ClassShift(), EDM).sample(sampler, ImageNoise([1]), torch.tensor([0])))
    torch.testing.assert_close(steps[1].x, steps[0].x0)
    assert evaluations(sampler) == 1


def test_churn_draws_noise_for_every_step_and_without_it_none_is_drawn() -> None:
    for kind, draws in [("heun", 1), ("heun+churn", 7)]:
        noise, expected = ImageNoise([1]), ImageNoise([1])
        process, sampler = setting(kind)
        steps = list(process.sample(sampler, noise, torch.tensor([0])))
        drawn = [expected.draw() for _ in range(draws)]
        assert torch.equal(noise.draw(), expected.draw())
        if kind == "heun+churn":  # the first step adds noise up to 20 * (1 + 2 / 6)
            assert steps[0].level == pytest.approx(20.0 * 4 / 3)
            added = 20.0 * (16 / 9 - 1) ** 0.5
            torch.testing.assert_close(steps[0].x, 20.0 * drawn[0] + added * drawn[1])


@pytest.mark.parametrize("kind", ["heun", "unipc"])
def test_a_start_from_the_prior_is_its_draw_at_the_largest_sigma(kind: str) -> None:
    process, sampler = Edm(ClassShift(), EDM), replace(continuous(kind), start="prior", sigma_max=1.2)
    labels, twin = torch.tensor([0, 3]), ImageNoise([5, 6])
    first = next(process.sample(sampler, ImageNoise([5, 6]), labels))
    assert first.level == pytest.approx(1.2)
    assert torch.equal(first.x, process.prior.draw(1.2, labels, twin.draw(), twin.uniform()))
    assert torch.equal(first.x, 1.3 * ImageNoise([5, 6]).draw())


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("kind", ALONG_SIGMA)
def test_where_the_noise_is_stronger_than_it_mends_no_network_is_asked(kind: str, guidance: float) -> None:
    """There the prior's guess is the answer, and not led away from either; below, it is that of the whole model."""
    process, sampler = Edm(ClassShift(), EDM), replace(continuous(kind, guidance), mended_below=2.0)
    labels = torch.tensor([0, 3, 4])
    steps = list(process.sample(sampler, ImageNoise([5, 6, 7]), labels))
    assert isinstance(process.network, ClassShift)
    assert process.network.images == 3 * evaluations(sampler) < 3 * evaluations(continuous(kind, guidance))
    for step in steps[: 1 if kind == "unipc" else -1]:  # UniPC shows an image that was corrected after the look
        sigma = torch.full((3,), step.level)
        guess = process.prior(step.x, sigma, labels, torch.ones(3)).x0
        assert torch.equal(step.x0, guess) == (step.level > 2.0)


def test_the_network_is_asked_at_the_strongest_noise_that_it_mends() -> None:
    """Levels are powers of roots: 3.1 returns as a little more, which is no stronger noise."""
    sampler = replace(continuous("unipc"), start="prior", sigma_max=3.1, mended_below=3.1)
    assert levels_visited(sampler)[0] > 3.1
    process = Edm(ClassShift(), EDM)
    list(process.sample(sampler, ImageNoise([5]), torch.tensor([0])))
    assert isinstance(process.network, ClassShift)
    assert process.network.images == evaluations(sampler) == sampler.steps


def test_evaluations_leave_out_levels_that_the_prior_answers_for() -> None:
    """Six steps from 20 visit 20, 7.4, 2.3, 0.58 and two below; guidance doubles those that are asked."""
    sampler = replace(continuous("unipc"), mended_below=2.0)
    assert levels_asked(sampler) == pytest.approx([level for level in levels_visited(sampler) if level <= 2.0])
    assert (evaluations(sampler), evaluations(replace(sampler, guidance=2.0))) == (3, 6)
    assert evaluations(replace(sampler, guidance=2.0, guided_sigma=(0.2, 10.0))) == 4
