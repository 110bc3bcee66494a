"""How often images are recognised as the class they should show."""

from typing import Any

import torch
from torch import Tensor

from models.intervals import share_of
from tasks.labels import CLASS_SLUGS, NUM_CLASSES


def accuracies(predicted: Tensor, labels: Tensor, confidence: float) -> dict[str, Any]:
    """Share of the images recognised as their class, in all and by class, with Wilson's intervals.

    Args:
        predicted: int64, shape (N,).
        labels: int64, shape (N,), every class at least once.
        confidence: of the intervals.

    Returns:
        ``accuracy``, an interval, and ``per_class``, an interval for every class by its slug.
    """
    correct = predicted == labels
    by_class = {slug: correct[labels == label] for label, slug in enumerate(CLASS_SLUGS)}
    return {
        "accuracy": share_of(correct, confidence).to_json(),
        "per_class": {slug: share_of(answers, confidence).to_json() for slug, answers in by_class.items()},
    }


def confusion(predicted: Tensor, labels: Tensor) -> Tensor:
    """Shares of the predicted classes within each true class.

    Args:
        predicted: int64, shape (N,).
        labels: int64, shape (N,), every class at least once.

    Returns:
        Shape (10, 10): rows are true classes and sum to 1.
    """
    counts = torch.bincount(labels * NUM_CLASSES + predicted, minlength=NUM_CLASSES**2).double()
    table = counts.reshape(NUM_CLASSES, NUM_CLASSES)
    return table / table.sum(dim=1, keepdim=True)
