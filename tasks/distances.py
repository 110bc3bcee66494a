"""How far images are from the training images in the critic's eyes, and how far the two cover each other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.frechet import Moments, frechet_distance, jackknife, kernel_distance, moments
from models.intervals import Interval
from models.manifold import Manifold, compare_manifolds
from tasks.dataset import class_balanced, load_split
from tasks.errors import ConfigError
from tasks.judge import Judge
from tasks.labels import NUM_CLASSES
from tasks.seeds import torch_generator

REFERENCE_PER_CLASS = 1000
JACKKNIFE_GROUPS = 50
KERNEL_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class RealFeatures:
    """Training images as the critic sees them: the reference of every distance.

    Attributes:
        features: float32, shape (M, D), balanced, sorted by class, in random order within a class.
        moments: the Gaussian fitted to them.
    """

    features: Tensor
    moments: Moments

    def balanced_subset(self, count: int) -> Tensor:
        """The first vectors of every class, ``count`` in all or as many as there are."""
        by_class = self.features.reshape(NUM_CLASSES, -1, self.features.shape[1])
        return by_class[:, : max(1, count // NUM_CLASSES)].flatten(0, 1)


def real_features(judge: Judge, seed: int) -> RealFeatures:
    """Features of a balanced subset of the training images, the same for every set of images judged under a seed.

    Raises:
        MissingResourceError: the data has not been prepared.
    """
    subset = class_balanced(load_split("train"), REFERENCE_PER_CLASS, torch_generator(seed, "critic reference"))
    features, _ = judge.features_and_logits(subset.images)
    return RealFeatures(features, moments(features))


def frechet_interval(features: Tensor, labels: Tensor, real: RealFeatures, confidence: float, seed: int) -> Interval:
    """Fréchet distance to the training images, never below 0, and its jackknife interval within the classes."""
    generator = torch_generator(seed, "frechet groups")

    def distance(chosen: Tensor) -> float:
        return frechet_distance(moments(chosen), real.moments)

    found = jackknife(features, labels, distance, JACKKNIFE_GROUPS, confidence, generator)
    return Interval(found.value, max(0.0, found.low), found.high)


def frechet_difference(
    pair: tuple[Tensor, Tensor], labels: Tensor, real: RealFeatures, confidence: float, seed: int
) -> Interval:
    """How much farther one set is from the training images than another of the same labels and seeds.

    The jackknife leaves out the same images of both sets, so what they share does not widen the interval.

    Args:
        pair: features of the one set and of the other, each of shape (N, D).
        labels: the classes of their images, int64, shape (N,).
        real: the training images in the critic's eyes.
        confidence: of the interval.
        seed: the user's seed.
    """
    width = pair[0].shape[1]

    def difference(both: Tensor) -> float:
        one, other = moments(both[:, :width]), moments(both[:, width:])
        return frechet_distance(one, real.moments) - frechet_distance(other, real.moments)

    generator = torch_generator(seed, "frechet groups")
    return jackknife(torch.cat(pair, dim=1), labels, difference, JACKKNIFE_GROUPS, confidence, generator)


def share_difference(one: Tensor, other: Tensor, labels: Tensor, confidence: float, seed: int) -> Interval:
    """How much larger the share of one set's yes answers is than another's of the same labels and seeds.

    The interval is that of :func:`frechet_difference`: the jackknife leaves out the same images of both sets.

    Args:
        one: bool, shape (N,).
        other: bool, shape (N,).
        labels: the classes of their images, int64, shape (N,).
        confidence: of the interval.
        seed: the user's seed.
    """
    generator = torch_generator(seed, "frechet groups")

    def mean(chosen: Tensor) -> float:
        return chosen.mean().item()

    gains = one.double() - other.double()
    return jackknife(gains.unsqueeze(1), labels, mean, JACKKNIFE_GROUPS, confidence, generator)


def kernel_interval(features: Tensor, real: RealFeatures, confidence: float, seed: int) -> Interval:
    """Kernel distance to the training images over disjoint blocks."""
    generator = torch_generator(seed, "kernel blocks")
    return kernel_distance(features, real.features, KERNEL_BLOCKS, confidence, generator)


def manifold_of(features: Tensor, real: RealFeatures, neighbours: int, seed: int) -> Manifold:
    """How images and as many training images cover each other.

    Raises:
        ConfigError: there are too few images for that many neighbours.
    """
    count = min(len(features), len(real.features))
    chosen = torch.randperm(len(features), generator=torch_generator(seed, "manifold subset"))[:count]
    reference = real.balanced_subset(count)
    if neighbours >= min(len(chosen), len(reference)):
        expected = f"fewer than {len(reference)} neighbours for {len(chosen)} images"
        raise ConfigError("evaluate.neighbours", f"got {neighbours}", expected, "lower it or draw more images")
    return compare_manifolds(reference, features[chosen], neighbours)


def manifold_figures(found: Manifold) -> dict[str, float]:
    """Precision, recall, density and coverage by name."""
    return {name: getattr(found, name) for name in ("precision", "recall", "density", "coverage")}


def recall_difference(one: Manifold, other: Manifold, confidence: float, seed: int) -> Interval:
    """How much more of the training images one set recalls than another, held against the same of them.

    The interval is of other training images. It takes both sets as they are, and is by that somewhat narrow: with
    Gaussian vectors, 500 of each kind, intervals of 95 % held the difference of a mean pair of sets 91 to 93 times in
    a hundred. To leave out images of the sets too widens it 1.7-fold, since balls grow with every neighbour that goes.
    """
    labels = torch.arange(NUM_CLASSES).repeat_interleave(len(one.recalled) // NUM_CLASSES)
    return share_difference(one.recalled, other.recalled, labels, confidence, seed)
