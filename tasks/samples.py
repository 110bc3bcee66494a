"""A variant's images as its judges read them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.errors import IntegrityError
from tasks.files import read_arrays
from tasks.paths import artifact


@dataclass(frozen=True, slots=True)
class Samples:
    """A variant's images with what was asked for.

    Attributes:
        images: uint8, shape (N, 28, 28).
        labels: class that each image should show, int64, shape (N,).
        seeds: what each image was drawn from, int64, shape (N,).
    """

    images: Tensor
    labels: Tensor
    seeds: Tensor


def load_samples(variant: str) -> Samples:
    """A variant's images, the classes they were asked to show and their seeds.

    Raises:
        MissingResourceError: none have been drawn.
        IntegrityError: the file is damaged.
    """
    path = artifact(variant, "samples.npz")
    arrays = read_arrays(path)
    names = ("images", "labels", "seeds")
    if not set(names) <= set(arrays):
        raise IntegrityError(str(path), "lacks images, labels or seeds", "all three", f"rerun sample@{variant}")
    return Samples(*(torch.from_numpy(arrays[name]) for name in names))
