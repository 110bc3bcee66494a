"""Where sampling starts if the last step has not destroyed the images: noise that looks like noised images."""

import torch
from torch import Tensor, nn

from models.embeddings import NUM_CLASSES

PIXELS = 28 * 28
COMPONENTS = 50
"""Directions in which the images of a class vary, strongest first; they hold about nine tenths of the variance."""


class ClassMoments(nn.Module):
    """A Gaussian for the images of each class: their mean, and their covariance along its strongest directions.

    Before :meth:`fit` it draws black images in the middle of the scale.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(NUM_CLASSES, PIXELS))
        self.register_buffer("factor", torch.zeros(NUM_CLASSES, COMPONENTS, PIXELS))

    def fit(self, x0: Tensor, labels: Tensor) -> None:
        """Measure training images.

        Args:
            x0: encoded images, shape (N, 1, 28, 28).
            labels: int64 class per image, shape (N,).
        """
        for label in range(NUM_CLASSES):
            rows = x0[labels == label].flatten(1).double()
            if len(rows) == 0:
                continue
            mean = rows.mean(dim=0)
            covariance = (rows - mean).T @ (rows - mean) / len(rows)
            values, vectors = torch.linalg.eigh(covariance)
            strongest = values[-COMPONENTS:].clamp(min=0.0).sqrt()[:, None] * vectors[:, -COMPONENTS:].T
            self.mean[label], self.factor[label] = mean.float(), strongest.float()

    def draw(self, labels: Tensor, noise: Tensor) -> Tensor:
        """Images from the Gaussian of their class.

        Args:
            labels: int64 class per image, shape (B,).
            noise: standard normal, shape (B, 1, 28, 28), of which the first pixels are used.

        Returns:
            Shape (B, 1, 28, 28).
        """
        share = noise.flatten(1)[:, None, :COMPONENTS]
        return (self.mean[labels] + (share @ self.factor[labels]).squeeze(1)).view_as(noise)
