"""When a garment becomes recognisable: the critic's verdict along the reverse process and along the training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from tasks.files import read_arrays
from tasks.judge import Judge, load_critic
from tasks.labels import CLASS_SLUGS
from tasks.params import Compute
from tasks.paths import artifact

Array = np.ndarray[Any, Any]
FEW_IMAGES = Compute(device="cpu", threads=1, precision="float32", compile=False)
"""How the critic looks at the few images of the figures: the same on every machine."""
COLUMNS = ("variant", "along", "position", "image", "class", "noisy", "guess")


def recognition_table(variants: Sequence[str]) -> pd.DataFrame:
    """Whether the critic names the class that was asked for, image by image and position by position.

    Args:
        variants: names of the variants.

    Returns:
        One row per image and position. ``along`` is ``reverse`` (``position``: share of the reverse steps done) or
        ``training`` (training steps done); ``noisy`` and ``guess`` are 1 where the noisy image, or the model's guess of
        the clean one, is recognised; along the training both stand for the finished sample.

    Raises:
        MissingResourceError: a variant has not been sampled, or the critic not been fitted.
        IntegrityError: a file is damaged.
    """
    critic = load_critic(FEW_IMAGES)
    tables = [table for name in variants for table in (_along_reverse(name, critic), _along_training(name, critic))]
    return pd.concat(tables, ignore_index=True)


def _along_reverse(name: str, critic: Judge) -> pd.DataFrame:
    path = read_arrays(artifact(name, "trajectories.npz"))
    noisy = recognised(critic, path["images"], path["labels"])
    guess = recognised(critic, path["x0"], path["labels"])
    return _rows((name, "reverse"), path["done"], path["labels"], noisy, guess)


def _along_training(name: str, critic: Judge) -> pd.DataFrame:
    grids = read_arrays(artifact(name, "progress.npz"))
    seen = recognised(critic, grids["images"], grids["labels"])
    return _rows((name, "training"), grids["steps"], grids["labels"], seen, seen)


def recognised(critic: Judge, images: Array, labels: Array) -> Array:
    """Whether the critic's first choice is the class that was asked for.

    Args:
        critic: the judge.
        images: uint8 [S, N, 28, 28].
        labels: int64 [N].

    Returns:
        0 or 1, shape [S, N].
    """
    _, logits = critic.features_and_logits(torch.from_numpy(images.reshape(-1, *images.shape[2:])))
    chosen = logits.argmax(dim=1).numpy().reshape(images.shape[:2])
    return np.asarray(chosen == labels, dtype=np.int64)


def _rows(key: tuple[str, str], positions: Array, labels: Array, noisy: Array, guess: Array) -> pd.DataFrame:
    rows = [
        (*key, position.item(), image, CLASS_SLUGS[label], noisy[step, image], guess[step, image])
        for step, position in enumerate(positions)
        for image, label in enumerate(labels)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
