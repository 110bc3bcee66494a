"""Moments are measured where images are drawn, from the training images alone, and only for who starts from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from models.forward import at_step
from models.noise import ImageNoise
from tasks.dataset import load_split
from tasks.errors import MissingResourceError
from tasks.files import read_arrays, sha256_file
from tasks.params import GuidanceSweep, Sample, Sweep
from tasks.paths import PREPARED, artifact
from tasks.precision import autocast
from tasks.progress_grids import draw_progress_grids
from tasks.sample import Sampling, balanced_requests, run_sampling, sample_images
from tasks.starts import fitted_start
from tasks.sweep import candidates, run_sweep
from tasks.train import run_config, run_training
from tasks.weights import load_model
from tests.tasks.small_critic import EVALUATE, fit_small_critic
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, FROM_MOMENTS, SEED, VARIANTS

DEVICE = torch.device("cpu")
SAMPLE = Sample(per_class=10, batch=40, trajectory_per_class=1)


@pytest.fixture
def trained(workspace: Path) -> Path:
    run_training("course", COURSE, CPU, SEED)
    return workspace


def drawn_from_moments(per_class: int, batch: int) -> np.ndarray:
    """What sampling from the moments makes, put together by hand."""
    model = load_model("course", COURSE, DEVICE)
    moments = fitted_start(model, FROM_MOMENTS.sampling, DEVICE)
    sampling = Sampling(model, FROM_MOMENTS.sampling, batch, DEVICE, autocast(CPU, DEVICE), moments)
    return sample_images(sampling, *balanced_requests(per_class, SEED))


def test_where_sampling_starts_is_no_part_of_the_training_nor_of_its_files(trained: Path) -> None:
    assert run_config(FROM_MOMENTS, CPU, SEED) == run_config(COURSE, CPU, SEED)
    run_training("start", FROM_MOMENTS, CPU, SEED)
    for name in ("model.safetensors", "snapshots/step-0000000.safetensors", "snapshots/step-0000008.safetensors"):
        assert sha256_file(artifact("start", name)) == sha256_file(artifact("course", name))


def test_the_moments_are_those_of_the_training_split(trained: Path) -> None:
    moments = fitted_start(load_model("course", COURSE, DEVICE), FROM_MOMENTS.sampling, DEVICE)
    split = load_split("train")
    assert moments is not None
    for label in range(10):
        pixels = split.images[split.labels == label].to(torch.float64) / 127.5 - 1.0
        assert_close(moments.mean[label], pixels.mean(dim=0).flatten().float())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_start_from_noise_reads_no_data(variant: str, workspace: Path) -> None:
    run_training(variant, VARIANTS[variant], CPU, SEED)
    before = run_sampling(variant, VARIANTS[variant], SAMPLE, CPU, SEED)
    PREPARED.rename("elsewhere")
    assert run_sampling(variant, VARIANTS[variant], SAMPLE, CPU, SEED)["pixel_mean"] == before["pixel_mean"]


def test_moments_without_prepared_data_are_a_missing_resource(trained: Path) -> None:
    PREPARED.rename("elsewhere")
    with pytest.raises(MissingResourceError, match=r"train\.npz"):
        run_sampling("course", FROM_MOMENTS, SAMPLE, CPU, SEED)


def test_samples_and_their_paths_start_from_the_moments(trained: Path) -> None:
    run_sampling("course", FROM_MOMENTS, replace(SAMPLE, batch=100), CPU, SEED)
    samples, paths = (read_arrays(artifact("course", name)) for name in ("samples.npz", "trajectories.npz"))
    np.testing.assert_array_equal(samples["images"], drawn_from_moments(10, 100))
    model = load_model("course", COURSE, DEVICE)
    moments, schedule = fitted_start(model, FROM_MOMENTS.sampling, DEVICE), model.schedule
    assert moments is not None
    noise, labels = ImageNoise(paths["seeds"].tolist()), torch.from_numpy(paths["labels"])
    eps, share = noise.draw(), noise.draw()
    last = torch.full((len(labels),), schedule.steps - 1)
    scales = at_step(schedule.sqrt_abar, last, eps), at_step(schedule.sqrt_one_minus_abar, last, eps)
    start = scales[0] * moments.draw(labels, share) + scales[1] * eps
    np.testing.assert_array_equal(paths["images"][0], model.decode(start).numpy())


def test_grids_through_training_start_from_the_moments(trained: Path) -> None:
    grids = draw_progress_grids("course", FROM_MOMENTS, CPU, SEED)["images"]
    np.testing.assert_array_equal(grids[-1], drawn_from_moments(2, 20))
    assert not np.array_equal(grids[-1], draw_progress_grids("course", COURSE, CPU, SEED)["images"][-1])


def test_a_sweep_starts_every_sampler_as_the_variants_own(trained: Path) -> None:
    fit_small_critic()
    guidance = GuidanceSweep(scales=(2.0,), sigma=(0.1, 1.0))
    sweep = Sweep(per_class=10, evaluations=(3,), samplers=("heun",), noise_sigma_max=40.0, guidance=guidance)
    assert {attempt.sampler.start for attempt in candidates(FROM_MOMENTS, sweep)} == {"moments"}
    assert candidates(FLAGSHIP, sweep)[0].sampler.start == "prior"
    rows = {}
    for spec in (COURSE, FROM_MOMENTS):
        run_sampling("course", spec, SAMPLE, CPU, SEED)
        rows[spec.sampling.start] = run_sweep("course", spec, sweep, 40, EVALUATE, CPU, SEED)["rows"]
    pairs = zip(rows["noise"], rows["moments"], strict=True)
    assert all(one["fid"] != other["fid"] for one, other in pairs)
