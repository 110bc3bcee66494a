"""What leads a sample: the early state of a variant's training that autoguidance leads away from."""

import torch

from models.diffusion import Diffusion
from tasks.snapshots import UNTRAINED, kept_snapshots, load_snapshot
from tasks.variants import Variant


def early_state(variant: str, spec: Variant, device: torch.device) -> Diffusion:
    """The model as it was at the first snapshot that some training went into, ready to sample.

    Args:
        variant: its name.
        spec: its description, with more snapshots than one.
        device: where images will be drawn.

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: the snapshot was altered, or belongs to another network or process.
    """
    kept = kept_snapshots(variant, spec)
    first = min(step for step in kept if step > UNTRAINED)
    return load_snapshot(variant, spec, first, kept[first]).to(device)
