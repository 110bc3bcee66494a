"""Images that a model draws once more from the same seeds, sampled in another way, and what the critic says of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.intervals import Interval
from tasks.accuracy import accuracies
from tasks.comparisons import joint_confidence
from tasks.dataset import real_test_images
from tasks.distances import RealFeatures, columns, frechet_difference, frechet_interval, manifold_figures, real_features
from tasks.judge import Judge, load_critic
from tasks.params import Compute, Evaluate
from tasks.sample import Array, Sampling, sample_images

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """A set of images as the critic sees them.

    Attributes:
        features: float32, shape (N, D).
        labels: the classes that the images should show, int64, shape (N,).
        accuracy: share of them that is taken for its class.
    """

    features: Tensor
    labels: Tensor
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Bench:
    """What every sampler's images are held to.

    Attributes:
        judge: the fitted critic.
        training: the training images in its eyes.
        confidence: of the intervals.
        neighbours: k of precision, recall, density and coverage.
        seed: the user's seed.
    """

    judge: Judge
    training: RealFeatures
    confidence: float
    neighbours: int
    seed: int

    @classmethod
    def of_build(cls, evaluate: Evaluate, compute: Compute, seed: int) -> "Bench":
        """That of the build's own critic and training images.

        Raises:
            MissingResourceError: there is no critic, or no data.
            IntegrityError: one of them is damaged or altered.
        """
        judge = load_critic(compute)
        return cls(judge, real_features(judge, seed), evaluate.confidence, evaluate.neighbours, seed)

    def look(self, images: Array, labels: Array) -> Seen:
        """What the critic sees in images uint8 [N, 28, 28] that should show these classes, int64 [N]."""
        features, logits = self.judge.features_and_logits(torch.from_numpy(images))
        wanted = torch.from_numpy(labels)
        found = accuracies(logits.argmax(dim=1), wanted, self.confidence)["accuracy"]
        return Seen(features, wanted, Interval(**found))

    def real(self, per_class: int) -> Row:
        """The figures of as many real test images, or of as many as there are."""
        split = real_test_images(per_class, self.seed)
        seen = self.look(split.images.numpy(), split.labels.numpy())
        return {"num_images": len(split), **self.figures(seen)}

    def rows(self, descriptions: list[Row], seen: list[Seen]) -> list[Row]:
        """A row a set of images: its description, its figures, and how far its distance is above that of the first.

        All comparisons with the first are looked at together, so their intervals are widened for their number.
        """
        own, others = seen[0], seen[1:]
        joint = joint_confidence(max(1, len(others)), self.confidence)
        gaps = [Interval(0.0, 0.0, 0.0), *(self._difference(images, own, joint) for images in others)]
        return [
            {**description, **self.figures(images), **columns("difference", gap)}
            for description, images, gap in zip(descriptions, seen, gaps, strict=True)
        ]

    def figures(self, seen: Seen) -> Row:
        """The distance to the training images and the class accuracy, with intervals, and how the two sets overlap.

        Precision, recall, density and coverage compare equally many training images.
        """
        overlap = manifold_figures(seen.features, self.training, self.neighbours, self.seed)
        return {**columns("fid", self.fid(seen)), **columns("accuracy", seen.accuracy), **overlap}

    def fid(self, seen: Seen) -> Interval:
        """The Fréchet distance to the training images alone."""
        return frechet_interval(seen.features, seen.labels, self.training, self.confidence, self.seed)

    def _difference(self, seen: Seen, own: Seen, confidence: float) -> Interval:
        return frechet_difference((seen.features, own.features), own.labels, self.training, confidence, self.seed)


def drawn_again(sampling: Sampling, labels: Array, seeds: Array) -> Array:
    """Images uint8 [N, 28, 28] for any number of requests."""
    parts = [slice(start, start + sampling.batch) for start in range(0, len(labels), sampling.batch)]
    return np.concatenate([sample_images(sampling, labels[part], seeds[part]) for part in parts])
