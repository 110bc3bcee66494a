"""Grids through training: one noise and one set of labels for all snapshots, drawn from unaltered weights."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import flows.sample
from models.build import build_diffusion
from tasks.errors import IntegrityError, MissingResourceError
from tasks.files import read_arrays, sha256_file
from tasks.params import Sample
from tasks.precision import autocast
from tasks.progress_grids import draw_progress_grids
from tasks.sample import Sampling, balanced_requests, sample_images
from tasks.seeds import derived_seed
from tasks.snapshots import kept_snapshots, load_snapshot
from tasks.train import run_training
from tasks.weights import load_model
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, SEED, STUDENT, VARIANTS

DEVICE = torch.device("cpu")
LABELS, SEEDS = balanced_requests(2, SEED)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_last_grid_is_of_the_trained_model_and_all_share_their_labels(variant: str, workspace: Path) -> None:
    spec = VARIANTS[variant]
    run_training(variant, spec, CPU, SEED)
    drawn = draw_progress_grids(variant, spec, CPU, SEED)
    written = read_arrays(Path("artifacts") / variant / "progress.npz")
    assert written["steps"].tolist() == [0, 4, 8, 12]
    assert written["labels"].tolist() == sorted([*range(10), *range(10)])
    assert written["images"].shape == (4, 20, 28, 28)
    assert written["images"].dtype == np.uint8
    np.testing.assert_array_equal(written["images"], drawn["images"])
    model = load_model(variant, spec, DEVICE)
    sampling = Sampling(model, spec.sampling, 20, DEVICE, autocast(CPU, DEVICE))
    np.testing.assert_array_equal(written["images"][-1], sample_images(sampling, LABELS, SEEDS))
    assert not np.array_equal(written["images"][1], written["images"][-1])


def test_the_first_grid_is_of_the_untrained_model_from_the_same_noise(workspace: Path) -> None:
    run_training("course", COURSE, CPU, SEED)
    untrained = build_diffusion(COURSE.network, COURSE.process, derived_seed(SEED, "weights")).eval()
    sampling = Sampling(untrained, COURSE.sampling, 20, DEVICE, autocast(CPU, DEVICE))
    first = draw_progress_grids("course", COURSE, CPU, SEED)["images"][0]
    np.testing.assert_array_equal(first, sample_images(sampling, LABELS, SEEDS))
    alone = sample_images(sampling, LABELS[7:8], SEEDS[7:8])
    np.testing.assert_array_equal(first[7:8], alone)


def test_grids_repeat_and_another_seed_draws_others(workspace: Path) -> None:
    run_training("flagship", FLAGSHIP, CPU, SEED)
    path = Path("artifacts/flagship/progress.npz")
    draw_progress_grids("flagship", FLAGSHIP, CPU, SEED)
    first = sha256_file(path)
    draw_progress_grids("flagship", FLAGSHIP, CPU, SEED)
    assert sha256_file(path) == first
    draw_progress_grids("flagship", FLAGSHIP, CPU, SEED + 1)
    assert sha256_file(path) != first


def test_another_sampler_draws_other_grids_from_the_same_training(workspace: Path) -> None:
    run_training("flagship", FLAGSHIP, CPU, SEED)
    other = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, guidance=4.0))
    before = draw_progress_grids("flagship", FLAGSHIP, CPU, SEED)["images"]
    after = draw_progress_grids("flagship", other, CPU, SEED)["images"]
    assert not np.array_equal(before[-1], after[-1])


def test_a_student_jumps_only_where_it_has_been_taught_to(workspace: Path) -> None:
    spec = replace(STUDENT, training=replace(STUDENT.training, distil_steps=4))
    run_training("student", spec, CPU, SEED)
    grids = draw_progress_grids("student", spec, CPU, SEED)
    kept = kept_snapshots("student", spec)
    assert grids["steps"].tolist() == list(kept) == [0, 4, 8, 12]
    for place, (step, sampler) in enumerate(zip(kept, [FLAGSHIP.sampling] * 3 + [STUDENT.sampling], strict=True)):
        model = load_snapshot("student", spec, step, kept[step])
        sampling = Sampling(model, sampler, 20, DEVICE, autocast(CPU, DEVICE))
        np.testing.assert_array_equal(grids["images"][place], sample_images(sampling, LABELS, SEEDS))


def test_an_altered_snapshot_stops_the_stage_before_its_metrics(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_training("course", COURSE, CPU, SEED)
    path = Path("artifacts/course/snapshots/step-0000004.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    sample = Sample(per_class=10, batch=40, trajectory_per_class=1)
    params = SimpleNamespace(variants={"course": COURSE}, sample=sample, compute=CPU, seed=SEED)
    monkeypatch.setattr(flows.sample, "load_params", lambda: params)
    with pytest.raises(IntegrityError, match=r"step-0000004\.safetensors: was altered") as caught:
        flows.sample.sample("course")
    assert caught.value.exit_code == 3
    assert not Path("artifacts/course/progress.npz").exists()
    assert not Path("reports/metrics/sample").exists()


def test_a_snapshot_that_is_gone_is_a_missing_resource(workspace: Path) -> None:
    run_training("course", COURSE, CPU, SEED)
    Path("artifacts/course/snapshots/step-0000000.safetensors").unlink()
    with pytest.raises(MissingResourceError, match=r"step-0000000\.safetensors"):
        draw_progress_grids("course", COURSE, CPU, SEED)
