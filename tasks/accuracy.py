"""How often images are recognised as the class they should show."""

from typing import Any

import torch
from torch import Tensor

from models.intervals import bootstrap_mean
from tasks.config import Evaluate
from tasks.labels import CLASS_SLUGS, NUM_CLASSES
from tasks.reproducibility import torch_generator


def accuracies(predicted: Tensor, labels: Tensor, evaluate: Evaluate, seed: int) -> dict[str, Any]:
    """Share of the images recognised as their class, in all and by class, with bootstrap intervals.

    Args:
        predicted: int64, shape (N,).
        labels: int64, shape (N,), every class at least once.
        evaluate: confidence and number of resamples.
        seed: the user's seed.

    Returns:
        ``accuracy``, an interval, and ``per_class``, an interval for every class by its slug.
    """
    correct = (predicted == labels).double()
    groups = {slug: correct[labels == label] for label, slug in enumerate(CLASS_SLUGS)}
    settings = evaluate.confidence, evaluate.bootstrap, torch_generator(seed, "accuracy interval")
    accuracy = bootstrap_mean(correct, *settings).to_json()
    per_class = {slug: bootstrap_mean(group, *settings).to_json() for slug, group in groups.items()}
    return {"accuracy": accuracy, "per_class": per_class}


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
