"""The course's U-Net: 28 -> 14 -> 7 and back, time and class added at the bottleneck."""

import torch
from torch import Tensor, nn

from models.embeddings import NUM_CLASSES, VectorEmbedding, one_hot, position_frequencies, sinusoidal
from models.layers import conv3x3, group_norm
from models.spec import CourseUNetSpec


class GeluConvBlock(nn.Sequential):
    """3x3 convolution, group normalisation, GELU."""

    def __init__(self, inputs: int, outputs: int, group_size: int) -> None:
        super().__init__(conv3x3(inputs, outputs), group_norm(outputs, group_size), nn.GELU())


class ResidualConvBlock(nn.Module):
    """Two convolution blocks, the second of which is added to the first."""

    def __init__(self, inputs: int, outputs: int, group_size: int) -> None:
        super().__init__()
        self.first = GeluConvBlock(inputs, outputs, group_size)
        self.second = GeluConvBlock(outputs, outputs, group_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        # One grey channel fits both memory formats; from here on all maps keep channels last, the faster one.
        first: Tensor = self.first(x).contiguous(memory_format=torch.channels_last)
        second: Tensor = self.second(first)
        return first + second


class DownBlock(nn.Sequential):
    """Half the size: each 2x2 block of pixels becomes four channels, so pooling loses nothing; two convolutions."""

    def __init__(self, inputs: int, outputs: int, group_size: int) -> None:
        super().__init__(
            nn.PixelUnshuffle(2),
            GeluConvBlock(4 * inputs, outputs, group_size),
            GeluConvBlock(outputs, outputs, group_size),
        )


class UpBlock(nn.Module):
    """Twice the size: the skip is concatenated, a transposed convolution enlarges, two convolutions refine.

    Args:
        inputs: channels from below; the skip has as many.
        outputs: channels at twice the size.
        group_size: channels per normalisation group.
    """

    def __init__(self, inputs: int, outputs: int, group_size: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(2 * inputs, outputs, kernel_size=2, stride=2)
        self.refine = nn.Sequential(
            GeluConvBlock(outputs, outputs, group_size), GeluConvBlock(outputs, outputs, group_size)
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map two tensors of shape (B, inputs, H, W) to (B, outputs, 2H, 2W)."""
        refined: Tensor = self.refine(self.enlarge(torch.cat([x, skip], dim=1)))
        return refined


class CourseUNet(nn.Module):
    """Predicts the noise in an image at step t (Ho et al. 2020), as the course describes it.

    Skips are concatenated at all three sizes. At the 7x7 bottleneck two embeddings are added to the feature maps: the
    sinusoidal embedding of t / steps, and the class, multiplied by the conditioning mask.

    Args:
        spec: channels at 28, 14 and 7, group size, length of the position embedding.
        steps: number of noise levels T; levels are 0..T-1.
    """

    frequencies: Tensor

    def __init__(self, spec: CourseUNetSpec, steps: int) -> None:
        super().__init__()
        wide, middle, deep = spec.channels
        group = spec.group_size
        self.steps = steps
        self.register_buffer("frequencies", position_frequencies(spec.time_features), persistent=False)
        self.stem = ResidualConvBlock(1, wide, group)
        self.down1 = DownBlock(wide, middle, group)
        self.down2 = DownBlock(middle, deep, group)
        self.bottleneck = GeluConvBlock(deep, deep, group)
        self.time_embedding = VectorEmbedding(spec.time_features, deep)
        self.class_embedding = VectorEmbedding(NUM_CLASSES, deep)
        self.up2 = UpBlock(deep, middle, group)
        self.up1 = UpBlock(middle, wide, group)
        self.merge = GeluConvBlock(2 * wide, wide, group)
        self.head = conv3x3(wide, 1)

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        """Predict the noise.

        Args:
            x: noisy images, shape (B, 1, 28, 28).
            level: step t of each image, 0..T-1, shape (B,).
            labels: int64 in 0..9, shape (B,).
            keep: 1 where the network may see the label, 0 where it is hidden, shape (B,).

        Returns:
            Predicted noise, shape (B, 1, 28, 28).
        """
        at28: Tensor = self.stem(x)
        at14: Tensor = self.down1(at28)
        at7: Tensor = self.down2(at14)
        deep: Tensor = self.bottleneck(at7) + self.condition(level, labels, keep)
        up: Tensor = self.up1(self.up2(deep, at7), at14)
        noise: Tensor = self.head(self.merge(torch.cat([up, at28], dim=1)))
        return noise.contiguous()

    def condition(self, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        """What is added at the bottleneck: time, and class times mask; shape (B, deepest channels, 1, 1)."""
        time: Tensor = self.time_embedding(sinusoidal(level / self.steps, self.frequencies))
        label: Tensor = self.class_embedding(one_hot(labels))
        return time + label * keep[:, None, None, None]
