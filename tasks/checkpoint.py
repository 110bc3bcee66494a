"""Checkpoints that survive any interruption: written atomically, verified by sha256, the newest valid one is resumed.

A checkpoint is two files: ``step-<n>.safetensors`` with every tensor of the state, and ``step-<n>.json``, written last,
with the step, the sha256 of the tensors and the configuration they belong to. Tensors without a header do not count.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from tasks.errors import ConfigError, IntegrityError
from tasks.files import as_json, sha256_file, sync_folder, write_json, write_tensors

logger = logging.getLogger(__name__)
KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training state at a step.

    Attributes:
        step: number of steps done.
        tensors: every tensor of the state by name.
        notes: plain values that go with them, such as the seconds spent.
    """

    step: int
    tensors: dict[str, Tensor]
    notes: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, config: dict[str, Any]) -> Path:
    """Write a checkpoint, then remove all but the newest :data:`KEPT`.

    Args:
        folder: where the run keeps its state.
        checkpoint: what to keep.
        config: what the state belongs to; compared when it is read back.

    Returns:
        The file that holds the tensors.

    Raises:
        TryAgainError: the disk is full or failing; older checkpoints are untouched.
    """
    path = folder / f"step-{checkpoint.step:07d}.safetensors"
    digest = write_tensors(path, checkpoint.tensors)
    header = {"step": checkpoint.step, "sha256": digest, "config": config, "notes": checkpoint.notes}
    write_json(path.with_suffix(".json"), header)
    _prune(folder)
    return path


def newest_checkpoint(folder: Path, config: dict[str, Any]) -> Checkpoint | None:
    """Read the newest valid checkpoint; damaged ones are passed over with a warning.

    Args:
        folder: where the run keeps its state.
        config: what the state must belong to.

    Returns:
        The checkpoint, or None where none was ever completed.

    Raises:
        ConfigError: a checkpoint was made under another configuration.
        IntegrityError: there are checkpoints, and all are damaged.
    """
    headers = sorted(folder.glob("step-*.json"), reverse=True)
    for header_path in headers:
        checkpoint = _read(header_path, config)
        if checkpoint is not None:
            return checkpoint
        logger.warning("%s is damaged; trying the checkpoint before it", header_path.with_suffix(".safetensors"))
    if headers:
        remedy = f"remove {folder} to train from the beginning"
        raise IntegrityError(
            str(headers[0].with_suffix(".safetensors")), "is damaged", "an unaltered checkpoint", remedy
        )
    return None


def differing_keys(ours: Any, theirs: Any, prefix: str = "") -> list[str]:
    """Dotted keys at which two JSON values differ."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return [] if ours == theirs else [prefix]
    keys = sorted(set(ours) | set(theirs))
    return [
        key for name in keys for key in differing_keys(ours.get(name), theirs.get(name), f"{prefix}.{name}".lstrip("."))
    ]


def _read(header_path: Path, config: dict[str, Any]) -> Checkpoint | None:
    path = header_path.with_suffix(".safetensors")
    try:
        header = json.loads(header_path.read_bytes())
        intact = path.is_file() and sha256_file(path) == header["sha256"]
        tensors = safetensors.torch.load_file(path) if intact else {}
        step, notes, made_under = int(header["step"]), header["notes"], header["config"]
    except (ValueError, KeyError, TypeError, SafetensorError):
        return None
    if not intact:
        return None
    different = differing_keys(as_json(config), made_under)
    if different:
        what = f"was made under another configuration ({', '.join(different[:3])})"
        raise ConfigError(str(path), what, "a checkpoint of this run", f"remove {path.parent}")
    return Checkpoint(step, tensors, notes)


def _prune(folder: Path) -> None:
    """Remove old checkpoints, header first, and tensors whose header never came to be."""
    for header in sorted(folder.glob("step-*.json"), reverse=True)[KEPT:]:
        header.unlink()
    for tensors in folder.glob("step-*.safetensors"):
        if not tensors.with_suffix(".json").exists():
            tensors.unlink()
    for stray in folder.glob(".step-*"):
        stray.unlink()
    sync_folder(folder)
