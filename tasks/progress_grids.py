"""Sample grids through training: the same noise and labels through every kept snapshot, so that only weights differ."""

from dataclasses import replace

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from models.sampler_spec import SamplerSpec, SigmaSamplerSpec
from tasks.files import Arrays, write_arrays
from tasks.params import Compute
from tasks.paths import artifact
from tasks.progress import track
from tasks.sample import balanced_requests, prepared_sampling, sample_images
from tasks.snapshots import kept_snapshots, load_snapshot
from tasks.variants import Variant

GRID_PER_CLASS = 2


def draw_progress_grids(variant: str, spec: Variant, compute: Compute, seed: int) -> Arrays:
    """Write ``progress.npz`` of a variant: the first samples of each class, as each of its snapshots makes them.

    Args:
        variant: its name.
        spec: its description.
        compute: device, threads and precision.
        seed: the user's seed; the noise depends on nothing else.

    Returns:
        What was written: ``images`` uint8 [S, N, 28, 28] with N = 10 * :data:`GRID_PER_CLASS`; ``steps`` int64 [S],
        the training steps of the snapshots, from 0; ``labels`` int64 [N].

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: the weights or a snapshot were altered, or belong to another network or process, or were taught
            otherwise.
    """
    labels, seeds = balanced_requests(GRID_PER_CLASS, seed)
    result = prepared_sampling(variant, spec, len(labels), compute)  # altered weights are refused before anything slow
    images = []
    snapshots = kept_snapshots(variant, spec)
    for step, digest in track(snapshots.items(), len(snapshots), f"sampling {variant} through training"):
        diffusion = load_snapshot(variant, spec, step, digest).to(result.device)
        sampling = replace(result, diffusion=diffusion, sampler=sampler_at(step, spec))
        images.append(sample_images(sampling, labels, seeds))
    grids = {"images": np.stack(images), "steps": np.array(list(snapshots), dtype=np.int64), "labels": labels}
    write_arrays(artifact(variant, "progress.npz"), grids)
    return grids


def sampler_at(step: int, spec: Variant) -> SamplerSpec:
    """A variant's sampler, as far as the weights after so many steps of its training can follow it.

    Before its lessons a model takes every step by itself. And by an early state nothing is led: weights before that
    would be led away from better ones, and its own from themselves.
    """
    sampler = spec.sampling.unguided if spec.sampling.guide == "early" else spec.sampling
    untaught = step <= spec.training.denoising_steps
    return replace(sampler, jump_steps=1) if isinstance(sampler, SigmaSamplerSpec) and untaught else sampler


progress_grids_task = task(name="progress-grids", cache_policy=NO_CACHE)(draw_progress_grids)
