"""What a run leaves behind along the way: sample grids from unchanging noise, and the averaged weights behind them."""

import math
from pathlib import Path

import numpy as np
import torch

from models.diffusion import Diffusion
from models.noise import ImageNoise
from models.spec import SamplerSpec, TrainingSpec
from tasks.files import Arrays, read_arrays, write_arrays
from tasks.labels import NUM_CLASSES
from tasks.reproducibility import derived_seed
from tasks.weights import save_weights

GRID_PER_CLASS = 2


def snapshot_steps(spec: TrainingSpec) -> list[int]:
    """The steps after which a snapshot is kept, evenly spread; the last one is the end of training."""
    return [math.ceil(spec.steps * (index + 1) / spec.snapshots) for index in range(spec.snapshots)]


def grid_file(folder: Path, step: int) -> Path:
    """The sample grid of a step within a run's folder."""
    return folder / f"grid-{step:07d}.npz"


def weights_file(folder: Path, step: int) -> Path:
    """The averaged weights of a step within a run's folder."""
    return folder / "snapshots" / f"step-{step:07d}.safetensors"


def take_snapshot(folder: Path, diffusion: Diffusion, sampler: SamplerSpec, seed: int, step: int) -> None:
    """Write the weights and a grid of samples of this step.

    Args:
        folder: the run's folder.
        diffusion: the averaged model.
        sampler: how the grid is sampled.
        seed: the user's seed; the grid's noise depends on nothing else.
        step: training steps done.
    """
    save_weights(weights_file(folder, step), diffusion)
    sample_grid(folder, diffusion, sampler, seed, step)


@torch.no_grad()
def sample_grid(folder: Path, diffusion: Diffusion, sampler: SamplerSpec, seed: int, step: int) -> None:
    """Write a grid of samples: :data:`GRID_PER_CLASS` images a class, from the same noise at every step."""
    labels = torch.arange(NUM_CLASSES).repeat_interleave(GRID_PER_CLASS)
    seeds = [derived_seed(seed, "grid", index) for index in range(len(labels))]
    device = next(diffusion.parameters()).device
    *_, last = diffusion.sample(sampler, ImageNoise(seeds), labels.to(device))
    images = diffusion.decode(last.x).cpu().numpy()
    write_arrays(grid_file(folder, step), {"images": images, "labels": labels.numpy()})


def progress_arrays(folder: Path, steps: list[int]) -> Arrays:
    """All grids of a run: ``images`` [S, N, 28, 28], ``steps`` [S] and ``labels`` [N]."""
    grids = [read_arrays(grid_file(folder, step)) for step in steps]
    images = np.stack([grid["images"] for grid in grids])
    return {"images": images, "steps": np.array(steps, dtype=np.int64), "labels": grids[0]["labels"]}
