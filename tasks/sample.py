"""Sample one variant: balanced classes, each image a function of its seed alone, some paths kept whole."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from models.diffusion import Diffusion, SampleStep
from models.noise import ImageNoise
from models.samplers import evaluations
from models.spec import SamplerSpec
from tasks.files import write_arrays, write_json
from tasks.labels import NUM_CLASSES
from tasks.params import Compute, Sample, Variant
from tasks.paths import artifact, metrics_file
from tasks.progress import track
from tasks.reproducibility import autocast, derived_seed, environment_record, prepare_compute
from tasks.weights import load_model

Array = np.ndarray[Any, Any]
TRAJECTORY_PARTS = 10


@dataclass(frozen=True, slots=True)
class Sampling:
    """A trained model and how it is sampled.

    Attributes:
        diffusion: the model, in evaluation mode.
        sampler: solver, number of steps and guidance.
        batch: images computed together; the last batch is filled up, so that every image meets the same arithmetic.
        device: where the model runs.
        precision: reusable context of the forward passes.
    """

    diffusion: Diffusion
    sampler: SamplerSpec
    batch: int
    device: torch.device
    precision: torch.autocast


def run_sampling(variant: str, spec: Variant, sample: Sample, compute: Compute, seed: int) -> dict[str, Any]:
    """Write ``samples.npz`` and ``trajectories.npz`` of a variant and return its summary.

    Args:
        variant: its name.
        spec: its description.
        sample: how many images, and how many together.
        compute: device, threads and precision.
        seed: the user's seed; image i of a class gets the same seed in every variant.

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: its weights were altered.
    """
    device = prepare_compute(compute)
    sampling = Sampling(
        load_model(variant, spec, device), spec.sampling, sample.batch, device, autocast(compute, device)
    )
    labels, seeds = balanced_requests(sample.per_class, seed)
    start = time.monotonic()
    images = np.concatenate(list(_batches(sampling, labels, seeds, f"sampling {variant}")))
    seconds = time.monotonic() - start
    write_arrays(artifact(variant, "samples.npz"), {"images": images, "labels": labels, "seeds": seeds})
    chosen = np.arange(len(labels)) % sample.per_class < sample.trajectory_per_class
    write_arrays(artifact(variant, "trajectories.npz"), trajectories(sampling, labels[chosen], seeds[chosen]))
    return _summarise(variant, spec, images, {"seconds": seconds, "environment": environment_record(compute, device)})


def balanced_requests(per_class: int, seed: int) -> tuple[Array, Array]:
    """Labels and image seeds, sorted by class: two int64 arrays of length 10 * ``per_class``."""
    labels = np.repeat(np.arange(NUM_CLASSES, dtype=np.int64), per_class)
    within = np.tile(np.arange(per_class), NUM_CLASSES)
    pairs = zip(labels.tolist(), within.tolist(), strict=True)
    seeds = [derived_seed(seed, "sample", label, index) for label, index in pairs]
    return labels, np.array(seeds, dtype=np.int64)


@torch.no_grad()
def sample_images(sampling: Sampling, labels: Array, seeds: Array) -> Array:
    """Images uint8 [N, 28, 28] for at most ``sampling.batch`` requests."""
    *_, last = _steps(sampling, labels, seeds)
    images: Array = sampling.diffusion.decode(last.x)[: len(labels)].cpu().numpy()
    return images


@torch.no_grad()
def trajectories(sampling: Sampling, labels: Array, seeds: Array) -> dict[str, Array]:
    """The way from noise to image, looked at after every tenth of the steps.

    Args:
        sampling: model and sampler; at most ``sampling.batch`` requests.
        labels: classes [N].
        seeds: image seeds [N].

    Returns:
        ``images`` and ``x0`` uint8 [S, N, 28, 28]: the noisy image and the model's current guess of the clean one;
        ``done`` float64 [S]: share of the steps taken; ``labels`` and ``seeds``.
    """
    frames: list[tuple[float, Any, Any]] = []
    decode, count = sampling.diffusion.decode, len(labels)
    for step in _steps(sampling, labels, seeds):
        if _is_kept(step):
            pair = (decode(step.x)[:count].cpu().numpy(), decode(step.x0)[:count].cpu().numpy())
            frames.append((step.index / step.total, *pair))
    done, images, guesses = zip(*frames, strict=True)
    return {
        "images": np.stack(images),
        "x0": np.stack(guesses),
        "done": np.array(done, dtype=np.float64),
        "labels": labels,
        "seeds": seeds,
    }


def _batches(sampling: Sampling, labels: Array, seeds: Array, title: str) -> Iterator[Array]:
    starts = range(0, len(labels), sampling.batch)
    blocks = (slice(start, start + sampling.batch) for start in starts)
    return track((sample_images(sampling, labels[b], seeds[b]) for b in blocks), len(starts), title)


def _steps(sampling: Sampling, labels: Array, seeds: Array) -> Iterator[SampleStep]:
    missing = sampling.batch - len(labels)
    filled = torch.from_numpy(np.pad(labels, (0, missing), mode="edge")).to(sampling.device)
    noise = ImageNoise(np.pad(seeds, (0, missing), mode="edge").tolist())
    with sampling.precision:
        yield from sampling.diffusion.sample(sampling.sampler, noise, filled)


def _is_kept(step: SampleStep) -> bool:
    """Whether this is the first step at or after another tenth of the way."""
    part = step.index * TRAJECTORY_PARTS // step.total
    return step.index == 0 or part > (step.index - 1) * TRAJECTORY_PARTS // step.total


def _summarise(variant: str, spec: Variant, images: Array, run: dict[str, Any]) -> dict[str, Any]:
    summary = {
        **run,
        "variant": variant,
        "num_images": len(images),
        "images_per_second": len(images) / run["seconds"],
        "sampler": spec.sampling.kind,
        "evaluations": evaluations(spec.sampling),
        "pixel_mean": float(images.mean() / 255.0),
        "pixel_std": float((images / 255.0).std()),
    }
    write_json(metrics_file("sample", variant), summary)
    return summary


sample_task = task(name="sample", cache_policy=NO_CACHE)(run_sampling)
