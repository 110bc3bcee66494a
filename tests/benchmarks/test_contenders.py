"""Contenders train and draw as they say."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from benchmarks.contenders import ENTRIES, SAMPLING_STEPS, Draw, Setup, setup_on_cpu
from benchmarks.diffusers_unet import DiffusersUNet, lr_factor
from benchmarks.lucidrains_unet import LucidrainsUNet, new_diffusion
from benchmarks.noise_predictor import NoisePredictor
from benchmarks.own import NO_CHECKPOINTS, Own
from benchmarks.quality import Referee
from tasks.config import PARAMS, load_params, profile_file
from tasks.dataset import load_split
from tasks.precision import autocast
from tasks.sample import Array, Sampling, balanced_requests, sample_images
from tasks.side_by_side import described
from tasks.train import run_training
from tasks.weights import load_model
from tests.benchmarks.test_trial import Patient, Time
from tests.tasks.small_critic import ROOT, fit_small_critic
from tests.tasks.small_variants import CPU, SEED, TRAINING, VARIANTS

DEVICE = torch.device("cpu")
SETUP = Setup(
    replace(load_params(ROOT / PARAMS), seed=SEED, compute=CPU, variants=VARIANTS),
    DEVICE,
    CPU.precision,
    autocast(CPU, DEVICE),
)
LABELS, SEEDS = balanced_requests(1, SEED)


def test_the_course_is_that_of_make_full_and_the_flagship_of_the_default_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the report of either says rightly which models it trains otherwise."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("benchmarks.contenders.prepare_compute", lambda _: DEVICE)
    measured, default = setup_on_cpu().params, load_params()
    full = load_params(PARAMS, profile_file("full"))
    assert described(measured.variant("course")) == described(full.variant("course"))
    assert described(measured.variant("course")) != described(default.variant("course"))
    assert measured.variant("flagship") == default.variant("flagship")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_trains_and_draws_as_in_its_stages(variant: str, workspace: Path) -> None:
    spec = VARIANTS[variant]
    run_training(variant, spec, CPU, SEED)
    sampling = Sampling(load_model(variant, spec, DEVICE), spec.sampling, len(LABELS), DEVICE, SETUP.precision)
    contender = Own(SETUP, variant)
    steps = 0
    while contender.step(0.5):
        steps += 1
    assert steps == TRAINING.steps
    np.testing.assert_array_equal(contender.draw(LABELS, SEEDS).numpy(), sample_images(sampling, LABELS, SEEDS))
    assert not NO_CHECKPOINTS.exists()


def assert_draws_repeat(draw: Draw) -> Tensor:
    drawn = draw(LABELS, SEEDS)
    assert (drawn.shape, drawn.dtype) == ((10, 28, 28), torch.uint8)
    assert torch.equal(draw(LABELS, SEEDS), drawn)
    assert not torch.equal(draw(LABELS, SEEDS[::-1].copy()), drawn)
    return drawn


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_draws_from_its_seeds_and_has_a_loss_to_count(variant: str, workspace: Path) -> None:
    contender = Own(SETUP, variant)
    assert list(contender.samplers) == [VARIANTS[variant].sampling.steps]
    before = assert_draws_repeat(contender.draw)
    assert contender.step(0.0)
    assert not torch.equal(assert_draws_repeat(contender.draw), before)
    assert contender.loss().requires_grad


@pytest.fixture(params=["diffusers", "denoising-diffusion-pytorch"])
def peer(request: pytest.FixtureRequest, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> NoisePredictor:
    """A small network of another library, untrained."""
    build, small = {
        "diffusers": (DiffusersUNet, {"diffusers_unet.CHANNELS": (32, 32)}),
        "denoising-diffusion-pytorch": (LucidrainsUNet, {"lucidrains_unet.WIDTH": 8, "lucidrains_unet.WIDER": (1, 1)}),
    }[request.param]
    for name, value in {"noise_predictor.BATCH": 8, "noise_predictor.SAMPLING_STEPS": (2, 3), **small}.items():
        monkeypatch.setattr(f"benchmarks.{name}", value)
    made: NoisePredictor = build(SETUP, 0.001)
    return made


NOISE = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
X0 = NOISE.flip(3).clamp(-1.0, 1.0)
TIMES = torch.tensor([3, 50, 400, 900])
CLASSES = torch.tensor([0, 3, 6, 9])
of_diffusers = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@of_diffusers
def test_a_peer_trains_and_draws(peer: NoisePredictor) -> None:
    before = [assert_draws_repeat(draw) for draw in peer.samplers.values()]
    assert not torch.equal(*before)
    assert (peer.batch, list(peer.samplers)) == (8, [2, 3])
    assert peer.step(0.5)
    assert peer.step(0.5)
    assert not torch.equal(peer.draw(3, LABELS, SEEDS), before[1])
    assert peer.loss().requires_grad


@of_diffusers
def test_a_peer_draws_from_its_averaged_weights(peer: NoisePredictor) -> None:
    assert peer.step(0.5)
    drawn = peer.draw(3, LABELS, SEEDS)
    with torch.no_grad():
        for weights in peer.weights:
            weights.fill_(float("nan"))
    assert torch.equal(peer.draw(3, LABELS, SEEDS), drawn)


@of_diffusers
def test_a_peer_is_told_the_class_in_training_and_drawing(peer: NoisePredictor) -> None:
    peer.draw(3, LABELS, SEEDS)  # the average takes the weights over
    others = (CLASSES + 1) % 10
    losses = [peer.error(X0, NOISE, TIMES, labels).item() for labels in (CLASSES, others)]
    guesses = [peer.predict(X0, TIMES, labels) for labels in (CLASSES, others)]
    assert losses[0] != losses[1]
    assert not torch.equal(*guesses)


@of_diffusers
def test_a_peer_that_tells_the_noise_has_no_loss(peer: NoisePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(x: Tensor, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(sample=NOISE) if isinstance(peer, DiffusersUNet) else NOISE

    monkeypatch.setattr(peer.network, "forward", answer)
    assert peer.error(X0, NOISE, TIMES, CLASSES).item() == 0.0


@of_diffusers
def test_a_peers_solver_ends_at_the_images_whose_noise_it_is_told(
    peer: NoisePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = torch.linspace(-1.0, 1.0, 28 * 28).view(1, 1, 28, 28)

    def noise(x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        sigma = peer.solver.sigmas[peer.solver.step_index or 0]
        alpha = (1.0 + sigma**2) ** -0.5
        return (x - alpha * wanted) / (alpha * sigma)

    monkeypatch.setattr(peer, "predict", noise)
    grey = peer.draw(3, LABELS, SEEDS).float()
    assert_close(grey, (127.5 * (wanted[:, 0] + 1.0)).expand_as(grey), atol=1.0, rtol=0.0)


@of_diffusers
def test_a_peers_network_is_told_the_time_of_the_noise_that_it_sees(
    peer: NoisePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels of N(0, s^2), whose noise is known best at every time: only if the times are right has what is drawn s."""
    grey = drawn_by_a_perfect_network(peer, 0.25, 100, monkeypatch)
    assert grey.std().item() == pytest.approx(127.5 * 0.25, rel=0.02)
    assert grey.mean().item() == pytest.approx(127.5, abs=2.0)


@pytest.mark.parametrize("deviation", [0.05, 0.1, 0.25])
@of_diffusers
def test_the_most_steps_of_a_comparison_leave_a_peer_its_weak_detail(
    peer: NoisePredictor, deviation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = max(SAMPLING_STEPS)
    grey = drawn_by_a_perfect_network(peer, deviation, most, monkeypatch)
    assert len(peer.solver.timesteps) == most  # no two levels share a time
    assert grey.std().item() == pytest.approx(127.5 * deviation, rel=0.07)


def drawn_by_a_perfect_network(
    peer: NoisePredictor, deviation: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> Tensor:
    """What a peer's solver makes of pixels of N(0, s^2)."""
    abars = peer.solver.alphas_cumprod

    def noise(x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        abar = abars[times.long()].view(-1, 1, 1, 1)
        return (1.0 - abar).sqrt() * x / (abar * deviation**2 + 1.0 - abar)

    monkeypatch.setattr(peer, "predict", noise)
    return peer.draw(steps, LABELS, SEEDS).double()


def test_the_peer_without_a_solver_is_drawn_by_one_of_its_own_noise_schedule(workspace: Path) -> None:
    assert_close(LucidrainsUNet(SETUP, 0.001).solver.alphas_cumprod, new_diffusion(0).alphas_cumprod)


def test_the_peers_rate_rises_and_falls_once() -> None:
    rates = [lr_factor(share) for share in np.linspace(0.0, 1.0, 101)]
    top = int(np.argmax(rates))
    assert (rates[0], rates[5], rates[-1]) == (0.0, 1.0, 0.0)
    assert sorted(rates[:top]) == rates[:top]
    assert sorted(rates[top:], reverse=True) == rates[top:]
    assert lr_factor(0.525) == pytest.approx(0.5)


def test_every_entry_has_a_builder() -> None:
    assert all(callable(entry.builder()) for entry in ENTRIES)


class Asked(Patient):
    """A contender that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(Time(), 1.0, 0)
        self.labels: list[int] = []
        self.seeds: list[int] = []

    def draw(self, labels: Array, seeds: Array) -> Tensor:
        self.labels += labels.tolist()
        self.seeds += seeds.tolist()
        return super().draw(labels, seeds)


def test_every_contender_is_asked_for_the_same_images_equally_many_of_each_class(workspace: Path) -> None:
    fit_small_critic()
    referee = Referee(SETUP.params, 40)
    first, second = Asked(), Asked()
    found = referee.drawn(first)
    referee.drawn(second)
    labels, seeds = balanced_requests(4, SEED)
    assert np.bincount(first.labels).tolist() == [4] * 10
    assert (first.labels, first.seeds) == (second.labels, second.seeds) == (labels.tolist(), seeds.tolist())
    assert found.judged == 40
    assert found.drawn_per_second > 0.0
    nothing = found.quality
    assert nothing.fid.low <= nothing.fid.value
    assert referee.real().fid.value < nothing.fid.value
    assert referee.real().accuracy.value > nothing.accuracy.value == 0.1


class Choosing(Asked):
    """A contender that draws garments by four evaluations and nothing by three and five; notes what it drew by."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn_by: list[int] = []
        self.samplers = {evaluations: partial(self.draw_by, evaluations) for evaluations in (3, 4, 5)}

    def draw_by(self, evaluations: int, labels: Array, seeds: Array) -> Tensor:
        self.drawn_by += [evaluations] * len(labels)
        nothing = super().draw(labels, seeds)
        if evaluations != 4:
            return nothing
        split = load_split("train")
        return torch.stack([split.images[split.labels == label][0] for label in labels.tolist()])


@pytest.mark.parametrize(("far", "more"), [(0.0, []), (1e6, [4] * 40)])
def test_of_several_samplers_the_best_by_a_glance_draws_the_others(
    far: float, more: list[int], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_small_critic()
    monkeypatch.setattr("benchmarks.quality.GLANCE", 20)
    monkeypatch.setattr("benchmarks.quality.FAR", far)
    contender = Choosing()
    found = Referee(SETUP.params, 40).drawn(contender)
    assert contender.drawn_by == [3] * 20 + [4] * 20 + [5] * 20 + more
    assert (found.evaluations, found.judged) == (4, 40 if more else 20)


@pytest.mark.parametrize(("far", "asked"), [(0.0, [20]), (1e6, [20, 40])])
def test_where_a_glance_is_far_from_all_targets_no_more_images_are_drawn(
    far: float, asked: list[int], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_small_critic()
    monkeypatch.setattr("benchmarks.quality.GLANCE", 20)
    monkeypatch.setattr("benchmarks.quality.FAR", far)
    contender = Asked()
    found = Referee(SETUP.params, 40).drawn(contender)
    assert (found.judged, len(contender.labels)) == (asked[-1], sum(asked))
