"""What a network is told beside the image, noise level and class, as vectors it can add to its feature maps."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_CLASSES = 10
LONGEST = 10_000.0
OCTAVES_BELOW = -3.0
OCTAVES_ABOVE = 3.0


def position_frequencies(features: int) -> Tensor:
    """Angular frequencies of the position embedding: geometric from 1 down to 1/10000.

    Vaswani et al. 2017, section 3.5, with both ends included as in Ho et al. 2020 (DDPM).

    Args:
        features: length of the embedding, even and at least 4.

    Returns:
        Frequencies in radians per unit of position, shape (features / 2,).
    """
    half = features // 2
    return torch.exp(-math.log(LONGEST) * torch.arange(half, dtype=torch.float32) / (half - 1))


def octave_frequencies(features: int) -> Tensor:
    """Angular frequencies for a level of order one, such as ln(sigma) / 4: periods geometric from 8 down to 1/8.

    Args:
        features: length of the embedding, even and at least 4.

    Returns:
        Frequencies in radians per unit of the level, shape (features / 2,).
    """
    octaves = torch.linspace(OCTAVES_BELOW, OCTAVES_ABOVE, features // 2, dtype=torch.float32)
    return 2.0 * math.pi * torch.exp2(octaves)


def sinusoidal(position: Tensor, frequencies: Tensor) -> Tensor:
    """Sines, then cosines, of a position at every frequency (Vaswani et al. 2017, section 3.5).

    Args:
        position: one number per image, shape (B,).
        frequencies: radians per unit of position, shape (F,).

    Returns:
        Features in [-1, 1], shape (B, 2F).
    """
    angles = position.to(torch.float32)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def one_hot(labels: Tensor) -> Tensor:
    """Labels as rows of zeros with a single one.

    Args:
        labels: int64 in 0..9, shape (B,).

    Returns:
        float32, shape (B, 10).
    """
    return F.one_hot(labels, NUM_CLASSES).to(torch.float32)


class VectorEmbedding(nn.Module):
    """A vector made fit to be added to feature maps: linear, GELU, linear, unflattened.

    Args:
        features: length of the input vector.
        channels: feature maps it will be added to.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, channels),
            nn.GELU(),
            nn.Linear(channels, channels),
            nn.Unflatten(1, (channels, 1, 1)),
        )

    def forward(self, vector: Tensor) -> Tensor:
        """Embed vectors of shape (B, features) as maps of shape (B, channels, 1, 1)."""
        maps: Tensor = self.layers(vector)
        return maps
