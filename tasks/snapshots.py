"""The averaged weights that a training keeps along the way, from the untrained ones to the result.

In the run's folder each lies beside its sha256, so that none is published which was altered since it was taken.
"""

import math
import shutil
from pathlib import Path
from typing import Any

from models.diffusion import Diffusion
from models.training_spec import TrainingSpec
from tasks.errors import IntegrityError
from tasks.files import folder_written_atomically, sha256_file, write_tensors, write_text
from tasks.paths import artifact
from tasks.variants import Variant
from tasks.weights import checked_card, load_weights

FOLDER = "snapshots"
UNTRAINED = 0
"""The step of the weights that no training has touched."""


def snapshot_steps(spec: TrainingSpec) -> list[int]:
    """The steps after which a snapshot is kept, evenly spread; the last one is the end of training."""
    return [math.ceil(spec.steps * (index + 1) / spec.snapshots) for index in range(spec.snapshots)]


def snapshot_name(step: int) -> str:
    """The snapshot of a step, relative to the run's folder or to the variant's artefacts."""
    return f"{FOLDER}/step-{step:07d}.safetensors"


def take_snapshot(folder: Path, diffusion: Diffusion, step: int) -> None:
    """Keep the weights of a step.

    Args:
        folder: the run's folder.
        diffusion: the averaged model.
        step: training steps done.
    """
    path = folder / snapshot_name(step)
    write_text(_sum_of(path), write_tensors(path, diffusion.state_dict()))


def publish_snapshots(variant: str, folder: Path, spec: TrainingSpec) -> list[dict[str, Any]]:
    """Make a finished run's snapshots the variant's.

    Args:
        variant: its name.
        folder: the run's folder.
        spec: says which steps were kept; the untrained weights come first.

    Returns:
        ``step`` and ``sha256`` of each, in order, for the variant's card.

    Raises:
        IntegrityError: one was altered since it was taken; what the variant had is untouched.
    """
    steps = [UNTRAINED, *snapshot_steps(spec)]
    with folder_written_atomically(artifact(variant, FOLDER)) as published:
        return [{"step": step, "sha256": _copied(folder, step, published)} for step in steps]


def republish_snapshots(variant: str, owner: str, digests: dict[int, str]) -> None:
    """Give a variant the snapshots of another one.

    Args:
        variant: its name.
        owner: whose they are.
        digests: the sha256 of each by its step.

    Raises:
        IntegrityError: one was altered; what the variant had is untouched.
    """
    with folder_written_atomically(artifact(variant, FOLDER)) as published:
        for step, digest in digests.items():
            _copy(artifact(owner, snapshot_name(step)), published, digest, f"rerun train@{owner}")


def kept_snapshots(variant: str, spec: Variant) -> dict[int, str]:
    """The steps of a variant's snapshots, in order, with the sha256 of their weights.

    Args:
        variant: its name.
        spec: its description, which must be the one that it was trained under.

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: it was trained with another network or process, or its card was altered.
    """
    return {entry["step"]: entry["sha256"] for entry in checked_card(variant, spec)["snapshots"]}


def load_snapshot(variant: str, spec: Variant, step: int, digest: str) -> Diffusion:
    """Rebuild the model as it was after a step, ready to sample.

    Args:
        variant: its name.
        spec: its description.
        step: training steps done.
        digest: the sha256 of the weights, from :func:`kept_snapshots`.

    Raises:
        MissingResourceError: the snapshot is missing.
        IntegrityError: it was altered.
    """
    return load_weights(artifact(variant, snapshot_name(step)), digest, variant, spec)


def _copied(folder: Path, step: int, target: Path) -> str:
    """Copy a run's snapshot into a folder and return the sha256 of the copy, which is that of the snapshot as taken."""
    path = folder / snapshot_name(step)
    taken = _sum_of(path).read_text()
    _copy(path, target, taken, f"remove {folder} to train from the beginning")
    return taken


def _copy(path: Path, target: Path, digest: str, remedy: str) -> None:
    copy = target / path.name
    shutil.copyfile(path, copy)
    if sha256_file(copy) != digest:
        raise IntegrityError(str(path), "was altered", "the sha256 that it was written with", remedy)


def _sum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")
