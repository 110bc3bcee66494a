"""What a training is told shows in what it leaves: its average, its precision, compiled kernels, what is validated."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from models.course_unet import CourseUNet
from models.training import StepReport
from tasks.dataset import load_split
from tasks.params import Compute
from tasks.sample import balanced_requests, prepared_sampling, sample_images
from tasks.seeds import torch_generator
from tasks.train import run_training
from tasks.training_run import begin_run
from tasks.validation import Validation
from tasks.weights import load_model
from tests.tasks.small_variants import COURSE, CPU, CPU_BFLOAT16, SEED, STUDENT, TRAINING, VARIANTS

DEVICE = torch.device("cpu")
SHORT = replace(COURSE, training=replace(TRAINING, steps=3, snapshots=1))


def test_the_result_is_the_average_that_was_asked_for(workspace: Path) -> None:
    """Snapshots without averaging are the weights themselves; a lag of 0.2 weighs step n by n^4 - (n - 1)^4."""
    each = replace(TRAINING, steps=4, snapshots=4, ema_lag=0.0)
    for name, lag in (("raw", 0.0), ("averaged", 0.2)):
        run_training(name, replace(COURSE, training=replace(each, ema_lag=lag)), CPU, SEED)
    raw = [load_file(f"artifacts/raw/snapshots/step-{n:07d}.safetensors") for n in range(1, 5)]
    shares = [(n / 4) ** 4 - ((n - 1) / 4) ** 4 for n in range(1, 5)]
    for name, found in load_file("artifacts/averaged/model.safetensors").items():
        wanted = torch.stack([share * weights[name].double() for share, weights in zip(shares, raw, strict=True)])
        assert_close(found.double(), wanted.sum(dim=0), rtol=1e-5, atol=1e-7)


def test_a_teacher_is_the_average_of_its_training_and_a_student_that_of_its_lessons(workspace: Path) -> None:
    """Weights that are n after step n, of which the last two of six are lessons; a lag of 0.2 weighs as above."""
    training = replace(STUDENT.training, steps=6, distil_steps=2, ema_lag=0.2)
    spec = replace(STUDENT, training=training)
    run = begin_run(Path("nowhere"), spec, {"seed": SEED}, load_split("train"), DEVICE)
    assert run.teacher is not None
    for step in range(1, 7):
        with torch.no_grad():
            for parameter in run.diffusion.parameters():
                parameter.fill_(step)
        run.take_in(StepReport(step=step, loss=0.0, grad_norm=0.0, lr=0.0, images=16))
    taught = sum(n * (n**4 - (n - 1) ** 4) / 4**4 for n in range(1, 5))
    for model, wanted in ((run.teacher, taught), (run.ema.model, 5 / 16 + 6 * 15 / 16)):
        for parameter in model.parameters():
            assert_close(parameter, torch.full_like(parameter, wanted))
    assert not run.teacher.training


def test_steps_that_are_validated_are_logged_whatever_the_other_number_is(workspace: Path) -> None:
    training = replace(TRAINING, steps=12, log_every=5, validate_every=4, snapshots=1)
    run_training("course", replace(COURSE, training=training), CPU, SEED)
    history = pd.read_csv("artifacts/course/history.csv")
    assert history["step"].tolist() == [1, 4, 5, 8, 10, 12]
    assert history.loc[history["val_loss"].notna(), "step"].tolist() == [4, 8, 12]


@pytest.mark.parametrize("variant", VARIANTS)
def test_validation_asks_the_average_and_shows_it_the_labels(variant: str, workspace: Path) -> None:
    spec = VARIANTS[variant]
    summary = run_training(variant, spec, CPU, SEED)
    average, split, count = load_model(variant, spec, DEVICE), load_split("val"), spec.training.validation_images
    chosen = torch.randperm(len(split), generator=torch_generator(SEED, "validation"))[:count]
    images, labels = average.encode(split.images[chosen]), split.labels[chosen]
    draw = average.draw(count, torch_generator(SEED, "validation-draw"))
    with torch.no_grad():
        shown, hidden = (average.loss(images, labels, torch.full((count,), keep), draw).mean() for keep in (1.0, 0.0))
    assert summary["val_loss_final"] == pytest.approx(shown.item(), rel=1e-6)
    assert hidden.item() != pytest.approx(shown.item(), rel=1e-4)
    levels = pd.read_csv(f"artifacts/{variant}/noise_levels.csv").query("step == 12")
    by_level = Validation(split, count, SEED, DEVICE).by_level(average)
    assert levels["val_loss"].tolist() == pytest.approx([row["val_loss"] for row in by_level], rel=1e-9)


def test_another_precision_trains_other_weights_and_draws_other_images_from_the_same(workspace: Path) -> None:
    exact, rounded = (run_training(compute.precision, SHORT, compute, SEED) for compute in (CPU, CPU_BFLOAT16))
    assert exact["weights_sha256"] != rounded["weights_sha256"]
    assert exact["train_loss_first"] == pytest.approx(rounded["train_loss_first"], rel=1e-2)

    def drawn(compute: Compute) -> np.ndarray[Any, Any]:
        return sample_images(prepared_sampling("float32", SHORT, 10, compute), *balanced_requests(1, SEED))

    assert not np.array_equal(drawn(CPU), drawn(CPU_BFLOAT16))
    np.testing.assert_array_equal(drawn(CPU), drawn(CPU))


def test_where_it_is_asked_for_the_network_in_training_is_compiled_once(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[nn.Module] = []

    def compile_network(network: nn.Module, device: torch.device) -> None:
        assert device == DEVICE
        asked.append(network)

    monkeypatch.setattr("tasks.train.compile_network", compile_network)
    run_training("compiled", SHORT, replace(CPU, compile=True), SEED)
    (network,) = asked
    assert isinstance(network, CourseUNet)
    assert all(parameter.requires_grad for parameter in network.parameters())  # no copy for the average
