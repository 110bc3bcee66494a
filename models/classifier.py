"""A small convolutional classifier of 28x28 grey images, whose last hidden vector is a feature space for judging."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import SeededDropout


class Classifier(nn.Module):
    """A convolution at each of 28x28, 14x14 and 7x7, and a residual one (He et al. 2016) at the last.

    The last hidden vector is normalised to mean 0 and variance 1 per component over the training images (batch
    normalisation without gain or bias, Ioffe and Szegedy 2015), so that distances between features have a scale of
    their own: two unrelated sets of images lie about sqrt(2 * features) apart, whatever was trained.

    Args:
        channels: feature maps at 28x28, 14x14 and 7x7.
        features: length of the last hidden vector.
        classes: number of labels.
        dropout: probability of hiding a component of the last hidden vector from the head during training; masks come
            from :func:`models.layers.reseed_dropout`.
        generator: source of the initial weights; the global random state is left alone.
    """

    def __init__(
        self, channels: tuple[int, int, int], features: int, classes: int, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        full, half, quarter = channels
        with torch.random.fork_rng(devices=[]):  # torch draws weights of its own first
            self.conv28 = _Convolution(1, full)
            self.conv14 = _Convolution(full, half)
            self.conv7 = _Convolution(half, quarter)
            self.residual7 = _Convolution(quarter, quarter)
            self.project = nn.Linear(quarter, features, bias=False)
            self.normalise = nn.BatchNorm1d(features, affine=False)
            self.dropout = SeededDropout(dropout)
            self.head = nn.Linear(features, classes)
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(self.head.bias)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden vector.

        Args:
            x: images in [-1, 1], shape (B, 1, 28, 28).

        Returns:
            Shape (B, features).
        """
        x = self.conv14(halved(self.conv28(x)))
        x = self.conv7(halved(x))
        x = x + self.residual7(x)
        return cast(Tensor, self.normalise(self.project(x.amax(dim=(2, 3)))))

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the classes.

        Args:
            features: last hidden vectors, shape (B, features).

        Returns:
            Shape (B, classes).
        """
        return cast(Tensor, self.head(self.dropout(F.relu(features))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of images in [-1, 1], shapes (B, classes) and (B, features)."""
        features = self.features(x)
        return self.logits(features), features


def halved(x: Tensor) -> Tensor:
    """The maximum of each 2x2 block, by whatever has a deterministic backward pass: on a GPU max pooling has none.

    Args:
        x: maps of even height and width, shape (B, C, H, W).

    Returns:
        Shape (B, C, H / 2, W / 2).
    """
    if not x.is_cuda:
        return F.max_pool2d(x, 2)  # the whole fit takes a third less time
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


class _Convolution(nn.Module):
    """A 3x3 convolution, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.normalise = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.normalise(self.kernel(x)))
