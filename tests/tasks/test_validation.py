"""Validation asks the same questions every time and leaves the model as it was."""

from pathlib import Path

import pytest
import torch

from models.build import build_diffusion
from tasks.dataset import load_split
from tasks.validation import NUM_LEVELS, Validation
from tests.tasks.small_variants import COURSE, SEED


def test_the_questions_never_change(workspace: Path) -> None:
    device = torch.device("cpu")
    diffusion = build_diffusion(COURSE.network, COURSE.process, seed=1).train()
    first = Validation(load_split("val"), 50, SEED, device)
    again = Validation(load_split("val"), 50, SEED, device)
    assert first.loss(diffusion) == first.loss(diffusion) == again.loss(diffusion)
    assert first.by_level(diffusion) == again.by_level(diffusion)
    assert diffusion.training


def test_a_network_that_answers_zero_scores_the_variance_of_the_noise(workspace: Path) -> None:
    diffusion = build_diffusion(COURSE.network, COURSE.process, seed=1)
    torch.nn.init.zeros_(diffusion.network.head.weight)
    torch.nn.init.zeros_(diffusion.network.head.bias)
    validation = Validation(load_split("val"), 100, SEED, torch.device("cpu"))
    # The mean square of 78,400 standard normal numbers: 1 with a standard deviation of sqrt(2 / 78400) = 0.005
    assert validation.loss(diffusion) == pytest.approx(1.0, abs=0.025)
    rows = validation.by_level(diffusion)
    assert [row["level"] for row in rows] == pytest.approx([(index + 0.5) / NUM_LEVELS for index in range(NUM_LEVELS)])
    assert [row["val_loss"] for row in rows] == pytest.approx([1.0] * NUM_LEVELS, abs=0.06)
