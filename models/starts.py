"""Another start for sampling where the last step leaves something of the images: a Gaussian for each class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.embeddings import NUM_CLASSES
from models.pixels import PIXELS

COMPONENTS = 50
"""Directions in which the images of a class vary, strongest first; they hold about nine tenths of the variance."""


@dataclass(frozen=True, slots=True)
class ClassMoments:
    """The first two moments of each class's images: their mean, and their covariance along its strongest directions.

    A Gaussian with these moments is not the distribution of the images, so its noised draws are not the x_T of the
    forward process: class by class they share its mean and nearly its covariance, and nothing else.

    Attributes:
        mean: of the encoded images, shape (10, 784).
        factor: the strongest directions, each as long as the standard deviation along it, shape (10, 50, 784).
    """

    mean: Tensor
    factor: Tensor

    def to(self, device: torch.device) -> "ClassMoments":
        """The same moments on a device."""
        return ClassMoments(self.mean.to(device), self.factor.to(device))

    def draw(self, labels: Tensor, noise: Tensor) -> Tensor:
        """Images from the Gaussian of their class, float32 whatever the precision of the networks.

        Args:
            labels: int64 class per image, shape (B,).
            noise: standard normal, shape (B, 1, 28, 28), of which the first pixels are used.

        Returns:
            Shape (B, 1, 28, 28).
        """
        share = noise.flatten(1)[:, None, :COMPONENTS]
        with torch.autocast(noise.device.type, enabled=False):
            return (self.mean[labels] + (share @ self.factor[labels]).squeeze(1)).view_as(noise)


def class_moments(x0: Tensor, labels: Tensor) -> ClassMoments:
    """Measure training images; a class without any has a mean and a covariance of 0.

    Args:
        x0: encoded images, shape (N, 1, 28, 28).
        labels: int64 class per image, shape (N,).
    """
    mean, factor = x0.new_zeros(NUM_CLASSES, PIXELS), x0.new_zeros(NUM_CLASSES, COMPONENTS, PIXELS)
    for label in sorted(set(labels.tolist())):
        rows = x0[labels == label].flatten(1).double()
        centre = rows.mean(dim=0)
        covariance = (rows - centre).T @ (rows - centre) / len(rows)
        values, vectors = torch.linalg.eigh(covariance)
        strongest = values[-COMPONENTS:].clamp(min=0.0).sqrt()[:, None] * vectors[:, -COMPONENTS:].T
        mean[label], factor[label] = centre.float(), strongest.float()
    return ClassMoments(mean, factor)
