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
from models.evaluations import evaluations
from models.noise import ImageNoise
from models.sampler_spec import SamplerSpec
from models.starts import ClassMoments
from tasks.compilation import compile_network
from tasks.files import write_arrays, write_json
from tasks.guides import early_state
from tasks.labels import NUM_CLASSES
from tasks.params import Compute, Sample
from tasks.paths import artifact, metrics_file
from tasks.precision import autocast, chosen_precision
from tasks.progress import track
from tasks.reproducibility import environment_record, prepare_compute
from tasks.seeds import image_seed
from tasks.starts import fitted_start
from tasks.variants import Variant
from tasks.weights import load_model

Array = np.ndarray[Any, Any]
TRAJECTORY_PARTS = 10


@dataclass(frozen=True, slots=True)
class Sampling:
    """A trained model and how it is sampled.

    Attributes:
        diffusion: the model, in evaluation mode.
        sampler: solver, number of steps, guidance and start.
        batch: images computed together; the last batch is filled up, so that every image meets the same arithmetic.
        device: where the model runs.
        precision: reusable context of the forward passes.
        moments: for a sampler that starts from them; see :func:`tasks.starts.fitted_start`.
        guide: for a sampler that is guided by an early state; see :func:`tasks.guides.early_state`.
    """

    diffusion: Diffusion
    sampler: SamplerSpec
    batch: int
    device: torch.device
    precision: torch.autocast
    moments: ClassMoments | None = None
    guide: Diffusion | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """Some images on their way.

    Attributes:
        done: share of the steps taken.
        image: the noisy images, uint8 [K, 28, 28].
        x0: the model's present guess of the clean ones, uint8 [K, 28, 28].
    """

    done: float
    image: Array
    x0: Array


@dataclass(frozen=True, slots=True)
class Block:
    """Images computed together.

    Attributes:
        images: uint8 [N, 28, 28].
        frames: the way there of some of them.
    """

    images: Array
    frames: list[Frame]


def run_sampling(variant: str, spec: Variant, sample: Sample, compute: Compute, seed: int) -> dict[str, Any]:
    """Write ``samples.npz`` and ``trajectories.npz`` of a variant and return its summary.

    Args:
        variant: its name.
        spec: its description.
        sample: how many images, and how many together.
        compute: device, threads and precision.
        seed: the user's seed; image i of a class gets the same seed in every variant.

    Raises:
        MissingResourceError: the variant has not been trained, or kernels are to be compiled and there is no compiler.
        IntegrityError: its weights were altered.
    """
    sampling = prepared_sampling(variant, spec, sample.batch, compute)
    if compute.compile:
        compile_sampling(sampling)
    labels, seeds = balanced_requests(sample.per_class, seed)
    followed = np.arange(len(labels)) % sample.per_class < sample.trajectory_per_class
    if compute.compile:  # kernels are made at the first pass, which is no part of what an image costs
        sample_images(sampling, labels[: sample.batch], seeds[: sample.batch])
    start = time.monotonic()
    blocks = list(_blocks(sampling, (labels, seeds, followed), f"sampling {variant}"))
    seconds = time.monotonic() - start
    images = np.concatenate([block.images for block in blocks])
    write_arrays(artifact(variant, "samples.npz"), {"images": images, "labels": labels, "seeds": seeds})
    paths = {"labels": labels[followed], "seeds": seeds[followed], **_joined([block.frames for block in blocks])}
    write_arrays(artifact(variant, "trajectories.npz"), paths)
    device = sampling.device
    environment = environment_record(compute, device, chosen_precision(compute, device))
    return _summarise(variant, spec, images, {"seconds": seconds, "environment": environment})


def prepared_sampling(variant: str, spec: Variant, batch: int, compute: Compute) -> Sampling:
    """A trained variant as its description says that it is sampled.

    Args:
        variant: its name.
        spec: its description.
        batch: images computed together.
        compute: device, threads and precision.

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: its weights, or the state that guides it, were altered.
    """
    device = prepare_compute(compute)
    diffusion = load_model(variant, spec, device)
    moments = fitted_start(diffusion, spec.sampling, device)
    guide = early_state(variant, spec, device) if spec.sampling.guide == "early" else None
    return Sampling(diffusion, spec.sampling, batch, device, autocast(compute, device), moments, guide)


def compile_sampling(sampling: Sampling) -> None:
    """Have the network's evaluations on a CPU compiled.

    A GPU keeps torch's kernels: as graphs their answers would be written over by the next, while solvers of several
    steps still need them.

    Raises:
        MissingResourceError: there is no compiler of C++, which torch's compiler needs.
    """
    if sampling.device.type == "cpu":
        for model in filter(None, (sampling.diffusion, sampling.guide)):
            compile_network(model.network, sampling.device)


def balanced_requests(per_class: int, seed: int) -> tuple[Array, Array]:
    """Labels and image seeds, sorted by class: two int64 arrays of length 10 * ``per_class``; no seed occurs twice."""
    labels = np.repeat(np.arange(NUM_CLASSES, dtype=np.int64), per_class)
    within = np.tile(np.arange(per_class), NUM_CLASSES)
    pairs = zip(labels.tolist(), within.tolist(), strict=True)
    seeds = [image_seed(seed, index * NUM_CLASSES + label) for label, index in pairs]
    return labels, np.array(seeds, dtype=np.int64)


def blocks(total: int, size: int) -> list[slice]:
    """The parts of so many requests that are computed together, in order; only the last may be smaller."""
    return [slice(start, start + size) for start in range(0, total, size)]


@torch.no_grad()
def sample_images(sampling: Sampling, labels: Array, seeds: Array) -> Array:
    """Images uint8 [N, 28, 28] for at most ``sampling.batch`` requests."""
    for step in _steps(sampling, labels, seeds):
        x = step.x  # the last step's are the images; the others are not kept
    images: Array = sampling.diffusion.decode(x)[: len(labels)].cpu().numpy()
    return images


@torch.no_grad()
def follow(sampling: Sampling, labels: Array, seeds: Array, followed: Array) -> Block:
    """Images for at most ``sampling.batch`` requests, and for some of them the way there, at every tenth of the steps.

    Args:
        sampling: model and sampler.
        labels: classes, int64 [N].
        seeds: image seeds, int64 [N].
        followed: of which requests the way is kept, bool [N]; K of them.
    """
    frames: list[Frame] = []
    decode, rows = sampling.diffusion.decode, torch.from_numpy(np.flatnonzero(followed)).to(sampling.device)
    for step in _steps(sampling, labels, seeds):
        if _is_kept(step):
            pair = (decode(step.x[rows]).cpu().numpy(), decode(step.x0[rows]).cpu().numpy())
            frames.append(Frame(step.index / step.total, *pair))
    return Block(decode(step.x)[: len(labels)].cpu().numpy(), frames)


def _blocks(sampling: Sampling, requests: tuple[Array, Array, Array], title: str) -> Iterator[Block]:
    parts = blocks(len(requests[0]), sampling.batch)
    followed = (follow(sampling, *(column[part] for column in requests)) for part in parts)
    return track(followed, len(parts), title)


def _joined(paths: list[list[Frame]]) -> dict[str, Array]:
    """The frames of all blocks, each with one entry per step: ``done`` [S], ``images`` and ``x0`` [S, K, 28, 28]."""
    together = list(zip(*paths, strict=True))
    return {
        "done": np.array([frames[0].done for frames in together], dtype=np.float64),
        "images": np.stack([np.concatenate([frame.image for frame in frames]) for frames in together]),
        "x0": np.stack([np.concatenate([frame.x0 for frame in frames]) for frames in together]),
    }


def _steps(sampling: Sampling, labels: Array, seeds: Array) -> Iterator[SampleStep]:
    missing = sampling.batch - len(labels)
    filled = torch.from_numpy(np.pad(labels, (0, missing), mode="edge")).to(sampling.device)
    noise = ImageNoise(np.pad(seeds, (0, missing), mode="edge").tolist())
    steps = sampling.diffusion.sample(sampling.sampler, noise, filled, sampling.moments, sampling.guide)
    while True:
        with sampling.precision:  # left before a step is handed over, since whoever takes it has a precision of its own
            step = next(steps, None)
        if step is None:
            return
        yield step


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
