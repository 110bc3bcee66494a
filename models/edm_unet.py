"""The flagship's U-Net: pixels or blocks of them at two sizes, noise level and class in every residual block."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.embeddings import NUM_CLASSES, octave_frequencies, one_hot, sinusoidal
from models.layers import SeededDropout, UncastGroupNorm, conv3x3, hardswish_of_fresh, memory_of, zeroed
from models.spec import GROUP_SIZE, EdmUNetSpec

LEVEL_FEATURES = 32


class JointEmbedding(nn.Module):
    """Noise level and class in one vector: both enter linearly, one hidden layer mixes them.

    Args:
        width: length of the vector.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", octave_frequencies(LEVEL_FEATURES), persistent=False)
        self.level = nn.Linear(LEVEL_FEATURES, width)
        self.label = nn.Linear(NUM_CLASSES, width, bias=False)
        self.mix = nn.Linear(width, width)

    def forward(self, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        """Embed levels, labels and masks, each of shape (B,), as vectors of shape (B, width)."""
        label: Tensor = self.label(one_hot(labels)) * keep[:, None]
        hidden: Tensor = self.level(sinusoidal(level, self.frequencies)) + label
        mixed: Tensor = self.mix(F.silu(hidden))
        return F.silu(mixed)


class Modulation(nn.Module):
    """What noise level and class have to say to each block: a scale and a shift for every one of its maps.

    One product of matrices speaks to all blocks, since one for each would cost the time of its launch, and in float32,
    since so small a product gains nothing from fewer digits.

    Args:
        width: length of the joint embedding.
        stages: feature maps and blocks of each stage, which is a row of alike blocks.
    """

    def __init__(self, width: int, stages: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.stages = tuple(stages)
        self.embedding = JointEmbedding(width)
        self.linear = nn.Linear(width, sum(self._lengths()))

    def forward(self, level: Tensor, labels: Tensor, keep: Tensor) -> list[Sequence[Tensor]]:
        """For levels, labels and masks, each of shape (B,): a tensor of shape (B, 2C) for each block of each stage."""
        with torch.autocast(level.device.type, enabled=False):
            spoken: Tensor = self.linear(self.embedding(level, labels, keep))
        parts = zip(torch.split(spoken, self._lengths(), dim=1), self.stages, strict=True)
        return [part.reshape(len(part), blocks, -1).unbind(1) for part, (_, blocks) in parts]

    def _lengths(self) -> list[int]:
        return [2 * channels * blocks for channels, blocks in self.stages]


def normalisation(channels: int, affine: bool = True) -> UncastGroupNorm:
    """Group normalisation (Wu and He 2018) of groups of 16 maps, with or without a gain and a bias for each."""
    return UncastGroupNorm(channels // GROUP_SIZE, channels, affine=affine)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; noise level and class scale and shift the maps between them (Dhariwal and Nichol 2021).

    Maps are normalised there alone, and the activation needs no exponential (Howard et al. 2019, equation 2): on a CPU
    what lies between the convolutions takes longer than they do. The last convolution starts at zero, so a new block is
    the identity.

    Args:
        channels: feature maps, in and out.
        dropout: share of the activations dropped before the last convolution.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.norm = normalisation(channels, affine=False)
        self.dropout = SeededDropout(dropout)
        self.conv2 = zeroed(conv3x3(channels, channels))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape, under scales and shifts of shape (B, 2C)."""
        hidden: Tensor = self.norm(self.conv1(F.hardswish(x)))
        scale, shift = modulation[:, :, None, None].chunk(2, dim=1)
        shift, gain = shift.to(hidden.dtype), (1.0 + scale).to(hidden.dtype)
        hidden = torch.addcmul(shift, hidden, gain, out=memory_of(hidden))
        residual: Tensor = self.conv2(self.dropout(hardswish_of_fresh(hidden)))
        return torch.add(x, residual, out=memory_of(residual, x))


class SelfAttention(nn.Module):
    """Every pixel looks at every other (Vaswani et al. 2017); the output projection starts at zero.

    Args:
        channels: feature maps.
        heads: a divisor of ``channels``.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = normalisation(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.out = zeroed(nn.Conv2d(channels, channels, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        qkv: Tensor = self.qkv(self.norm(x))
        # With channels last, pixels are already rows: these views copy nothing.
        rows = qkv.permute(0, 2, 3, 1).reshape(len(x), -1, 3, self.heads, x.shape[1] // self.heads)
        query, key, value = rows.permute(2, 0, 3, 1, 4)
        with torch.autocast(x.device.type, enabled=False):
            mixed = F.scaled_dot_product_attention(query.float(), key.float(), value.float())
        maps = mixed.transpose(1, 2).reshape(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)
        residual: Tensor = self.out(maps)
        return x + residual


class Stage(nn.ModuleList):
    """Residual blocks at one size.

    Args:
        channels: feature maps.
        blocks: how many.
        dropout: see :class:`ResidualBlock`.
    """

    def __init__(self, channels: int, blocks: int, dropout: float) -> None:
        super().__init__(ResidualBlock(channels, dropout) for _ in range(blocks))


class Encoder(Stage):
    """Residual blocks at one size; the output of each is a skip."""

    def forward(self, x: Tensor, modulations: Sequence[Tensor]) -> list[Tensor]:
        """Map (B, C, H, W), with a modulation (B, 2C) per block, to one tensor of that shape per block."""
        outputs: list[Tensor] = []
        for block, modulation in zip(self, modulations, strict=True):
            x = block(x, modulation)
            outputs.append(x)
        return outputs


class Decoder(Stage):
    """Residual blocks at one size, each after a skip is added."""

    def forward(self, x: Tensor, skips: list[Tensor], modulations: Sequence[Tensor]) -> Tensor:
        """Map (B, C, H, W), with a modulation (B, 2C) and a skip per block, innermost skip last, to (B, C, H, W)."""
        for block, skip, modulation in zip(self, reversed(skips), modulations, strict=True):
            x = block(x + skip, modulation)
        return x


class EdmUNet(nn.Module):
    """The raw network F of Karras et al. 2022, equation 7: it sees c_in * x and c_noise, and starts by answering zero.

    Args:
        spec: side of the squares of pixels seen as one, feature maps and residual blocks at the outer and at the inner
            size, heads, width of the embedding, dropout.
        images: how many pictures it is shown at once, such as the noisy image and a prior's guess.
    """

    def __init__(self, spec: EdmUNetSpec, images: int = 1) -> None:
        super().__init__()
        self.patch = spec.patch
        outer, inner = zip(spec.channels, spec.blocks, strict=True)
        wide, deep = spec.channels
        self.modulation = Modulation(spec.embedding, (outer, inner, inner, outer))
        self.stem = conv3x3(self.patch**2 * images, wide)
        self.outer_encoder = Encoder(*outer, spec.dropout)
        self.down = nn.Conv2d(wide, deep, kernel_size=2, stride=2)
        self.inner_encoder = Encoder(*inner, spec.dropout)
        self.attention = SelfAttention(deep, spec.heads) if spec.heads else nn.Identity()
        self.inner_decoder = Decoder(*inner, spec.dropout)
        self.up = nn.ConvTranspose2d(deep, wide, kernel_size=2, stride=2)
        self.outer_decoder = Decoder(*outer, spec.dropout)
        self.head = nn.Sequential(normalisation(wide), nn.Hardswish(), zeroed(conv3x3(wide, self.patch**2)))

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        """Answer for scaled noisy images.

        Args:
            x: images of about unit variance, shape (B, images, 28, 28).
            level: noise level c_noise = ln(sigma) / 4 of each image, shape (B,).
            labels: int64 in 0..9, shape (B,).
            keep: 1 where the network may see the label, 0 where it is hidden, shape (B,).

        Returns:
            Shape (B, 1, 28, 28); zero before training.
        """
        down_outer, down_inner, up_inner, up_outer = self.modulation(level, labels, keep)
        squares = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        outer: list[Tensor] = self.outer_encoder(self.stem(squares), down_outer)
        inner: list[Tensor] = self.inner_encoder(self.down(outer[-1]), down_inner)
        deep: Tensor = self.inner_decoder(self.attention(inner[-1]), inner, up_inner)
        wide: Tensor = self.outer_decoder(self.up(deep), outer, up_outer)
        answer: Tensor = self.head(wide)
        return F.pixel_shuffle(answer, self.patch).contiguous()
