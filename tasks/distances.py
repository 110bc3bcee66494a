"""How far images are from the training images in the critic's eyes."""

from dataclasses import dataclass

from torch import Tensor

from models.frechet import Moments, frechet_distance, jackknife, kernel_distance, moments
from models.intervals import Interval
from tasks.dataset import class_balanced, load_split
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


def kernel_interval(features: Tensor, real: RealFeatures, confidence: float, seed: int) -> Interval:
    """Kernel distance to the training images over disjoint blocks."""
    generator = torch_generator(seed, "kernel blocks")
    return kernel_distance(features, real.features, KERNEL_BLOCKS, confidence, generator)
