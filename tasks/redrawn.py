"""Images that a model draws once more from the same seeds, sampled in another way, and what the critic says of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.intervals import Interval, share_of
from models.manifold import Manifold
from tasks.comparisons import joint_confidence
from tasks.dataset import real_test_images
from tasks.distances import (
    RealFeatures,
    frechet_difference,
    frechet_interval,
    kernel_interval,
    manifold_figures,
    manifold_of,
    real_features,
    recall_difference,
    share_difference,
)
from tasks.judge import Judge, load_critic
from tasks.params import Compute, Evaluate
from tasks.sample import Array, Sampling, blocks, sample_images

Row = dict[str, Any]
NO_GAP = Interval(0.0, 0.0, 0.0)
"""Of a set of images beside itself."""
GAPS = ("difference", "gain", "recall_gain")
"""How far the distance, the class accuracy and the recall of a row are above those of the first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A set of images as the critic sees them.

    Attributes:
        features: float32, shape (N, D).
        labels: the classes that the images should show, int64, shape (N,).
        right: whether each is taken for its class, bool, shape (N,).
    """

    features: Tensor
    labels: Tensor
    right: Tensor


@dataclass(frozen=True, slots=True)
class Placed:
    """A set of images and how it and the training images cover each other."""

    seen: Seen
    overlap: Manifold


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
        return Seen(features, wanted, logits.argmax(dim=1) == wanted)

    def look_at_real(self, per_class: int) -> Seen:
        """What it sees in so many real test images of every class, or in as many as there are."""
        split = real_test_images(per_class, self.seed)
        return self.look(split.images.numpy(), split.labels.numpy())

    def real(self, per_class: int) -> Row:
        """The figures of real test images."""
        seen = self.look_at_real(per_class)
        return {"num_images": len(seen.labels), **self.figures(seen)}

    def rows(self, descriptions: list[Row], seen: list[Seen]) -> list[Row]:
        """A row a set of images: its description, its figures, and how they compare with those of the first.

        ``difference`` is how far its distance to the training images is above that of the first and ``gain`` how far
        its class accuracy is, each with an interval from pairs of the same seed; ``recall_gain`` is how far its recall
        is, with one from the training images recalled. All comparisons with the first are looked at together, so these
        intervals are widened for their number.
        """
        joint = joint_confidence(max(1, len(seen) - 1), self.confidence)
        judged = [Placed(images, self.overlap(images)) for images in seen]
        return [
            {**description, **self._figures(each), **self._beside(each, judged[0], joint)}
            for description, each in zip(descriptions, judged, strict=True)
        ]

    def figures(self, seen: Seen) -> Row:
        """The distances to the training images and the class accuracy, with intervals, and how the two sets overlap.

        Precision, recall, density and coverage compare equally many training images.
        """
        return self._figures(Placed(seen, self.overlap(seen)))

    def overlap(self, seen: Seen) -> Manifold:
        """How a set and as many training images cover each other."""
        return manifold_of(seen.features, self.training, self.neighbours, self.seed)

    def fid(self, seen: Seen) -> Interval:
        """The Fréchet distance to the training images alone."""
        return frechet_interval(seen.features, seen.labels, self.training, self.confidence, self.seed)

    def accuracy(self, seen: Seen) -> Interval:
        """The share of images that is taken for its class."""
        return share_of(seen.right, self.confidence)

    def difference(self, seen: Seen, other: Seen, confidence: float) -> Interval:
        """How far the distance of a set is above that of another of the same labels and seeds, image by image."""
        return frechet_difference((seen.features, other.features), other.labels, self.training, confidence, self.seed)

    def _figures(self, judged: Placed) -> Row:
        seen = judged.seen
        kernel = kernel_interval(seen.features, self.training, self.confidence, self.seed)
        distances = self.fid(seen).columns("fid") | kernel.columns("kid")
        return {**distances, **self.accuracy(seen).columns("accuracy"), **manifold_figures(judged.overlap)}

    def _beside(self, judged: Placed, first: Placed, confidence: float) -> Row:
        gaps = (NO_GAP, NO_GAP, NO_GAP) if judged is first else self._gaps(judged, first, confidence)
        return {key: value for name, gap in zip(GAPS, gaps, strict=True) for key, value in gap.columns(name).items()}

    def _gaps(self, judged: Placed, first: Placed, confidence: float) -> tuple[Interval, Interval, Interval]:
        """How far the distance, the class accuracy and the recall are above those of the first."""
        seen, its = judged.seen, first.seen
        gain = share_difference(seen.right, its.right, its.labels, confidence, self.seed)
        recall = recall_difference(judged.overlap, first.overlap, confidence, self.seed)
        return self.difference(seen, its, confidence), gain, recall


def drawn_again(sampling: Sampling, labels: Array, seeds: Array) -> Array:
    """Images uint8 [N, 28, 28] for any number of requests."""
    parts = blocks(len(labels), sampling.batch)
    return np.concatenate([sample_images(sampling, labels[part], seeds[part]) for part in parts])
