"""The prepared images, as tensors that have been checked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.errors import IntegrityError
from tasks.files import read_arrays
from tasks.labels import IMAGE_SIZE, NUM_CLASSES
from tasks.paths import split_file
from tasks.seeds import torch_generator


@dataclass(frozen=True, slots=True)
class Split:
    """Images and their classes.

    Attributes:
        images: uint8, shape (N, 28, 28), 0 is black.
        labels: int64, shape (N,), 0 to 9 in the order of :mod:`tasks.labels`.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def load_split(split: str) -> Split:
    """Read ``train``, ``val`` or ``test``.

    Raises:
        MissingResourceError: the data has not been prepared.
        IntegrityError: the file does not hold images and labels as described in :class:`Split`.
    """
    path = split_file(split)
    arrays = read_arrays(path)
    problem = _problem(arrays)
    if problem:
        wanted = f"images uint8 [N,{IMAGE_SIZE},{IMAGE_SIZE}] and labels int64 [N] from 0 to {NUM_CLASSES - 1}"
        raise IntegrityError(str(path), problem, wanted, "rerun the prepare stage")
    return Split(torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"]))


def class_balanced(split: Split, per_class: int, generator: torch.Generator) -> Split:
    """Choose equally many images of every class at random, without repetition, sorted by class.

    Args:
        split: where to choose from.
        per_class: images a class; where the smallest class has fewer, that many.
        generator: CPU generator that decides which.
    """
    shuffled = torch.randperm(len(split), generator=generator)
    by_class = [shuffled[split.labels[shuffled] == label] for label in range(NUM_CLASSES)]
    count = min(per_class, *(len(members) for members in by_class))
    chosen = torch.cat([members[:count] for members in by_class])
    return Split(split.images[chosen], split.labels[chosen])


def real_test_images(per_class: int, seed: int) -> Split:
    """The real test images that scores stand beside, sorted by class; a smaller choice is part of a larger one.

    Args:
        per_class: images a class; where the test split has fewer, that many.
        seed: the user's seed.

    Raises:
        MissingResourceError: the data has not been prepared.
    """
    return class_balanced(load_split("test"), per_class, torch_generator(seed, "references"))


def _problem(arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    if set(arrays) != {"images", "labels"}:
        return f"holds {', '.join(sorted(arrays)) or 'nothing'}"
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        return f"holds images {images.dtype} {list(images.shape)}"
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        return f"holds labels {labels.dtype} {list(labels.shape)} for {len(images)} images"
    if len(labels) == 0:
        return "holds no images"
    if labels.min() < 0 or labels.max() >= NUM_CLASSES:
        return f"holds labels from {labels.min()} to {labels.max()}"
    return ""
