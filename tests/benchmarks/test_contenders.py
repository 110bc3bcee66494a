"""Contenders train and draw as they say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from benchmarks.contenders import ENTRIES, Setup
from benchmarks.diffusers_unet import DiffusersUNet, lr_factor
from benchmarks.lucidrains_unet import LucidrainsUNet, new_diffusion
from benchmarks.noise_predictor import NoisePredictor
from benchmarks.own import NO_CHECKPOINTS, Own
from benchmarks.quality import Referee
from tasks.config import PARAMS, load_params
from tasks.precision import autocast
from tasks.sample import Array, Sampling, balanced_requests, sample_images
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


def assert_draws_repeat(contender: Own | NoisePredictor) -> Tensor:
    drawn = contender.draw(LABELS, SEEDS)
    assert (drawn.shape, drawn.dtype) == ((10, 28, 28), torch.uint8)
    assert torch.equal(contender.draw(LABELS, SEEDS), drawn)
    assert not torch.equal(contender.draw(LABELS, SEEDS[::-1].copy()), drawn)
    return drawn


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_draws_from_its_seeds_and_has_a_loss_to_count(variant: str, workspace: Path) -> None:
    contender = Own(SETUP, variant)
    before = assert_draws_repeat(contender)
    assert contender.step(0.0)
    assert not torch.equal(assert_draws_repeat(contender), before)
    assert contender.loss().requires_grad


SMALL = {"noise_predictor.BATCH": 8, "noise_predictor.SAMPLING_STEPS": 3}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers
@pytest.mark.parametrize(
    ("peer", "small"),
    [
        (DiffusersUNet, {"diffusers_unet.CHANNELS": (32, 32)}),
        (LucidrainsUNet, {"lucidrains_unet.WIDTH": 8, "lucidrains_unet.WIDER": (1, 1)}),
    ],
)
def test_a_peer_trains_and_draws_from_its_averaged_weights(
    peer: Callable[[Setup, float], NoisePredictor],
    small: dict[str, Any],
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (SMALL | small).items():
        monkeypatch.setattr(f"benchmarks.{name}", value)
    contender = peer(SETUP, 0.001)
    before = assert_draws_repeat(contender)
    assert contender.step(0.5)
    assert contender.step(0.5)
    assert not torch.equal(contender.draw(LABELS, SEEDS), before)
    assert contender.loss().requires_grad


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
