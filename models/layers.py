"""Building blocks that several networks share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size of the maps."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


class Float32GroupNorm(nn.GroupNorm):
    """Group normalisation that stays in float32 under autocast: bfloat16 has too few digits for means and variances."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape, in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class UncastGroupNorm(nn.GroupNorm):
    """Group normalisation in the precision of what it is given, so that autocast copies nothing to float32 and back.

    Its sums are in float32 all the same. With bfloat16 on a CPU, groups of less than 16 channels are six times slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape and precision."""
        gain, bias = (None if each is None else each.to(x.dtype) for each in (self.weight, self.bias))
        with torch.autocast(x.device.type, enabled=False):
            return F.group_norm(x, self.num_groups, gain, bias, self.eps)


def group_norm(channels: int, group_size: int) -> nn.GroupNorm:
    """Group normalisation (Wu and He 2018) with ``group_size`` channels to a group, then a gain and a bias a channel.

    Args:
        channels: number of feature maps, a multiple of ``group_size``.
        group_size: channels that share mean and variance.
    """
    return Float32GroupNorm(channels // group_size, channels)


def memory_of(fresh: Tensor, *others: Tensor) -> Tensor | None:
    """Where the result of an operation on maps may go that nothing else looks at: their own memory.

    Args:
        fresh: the maps.
        others: what they are combined with.

    Returns:
        ``fresh`` itself, to be passed as ``out``. None where gradients are wanted, which need what the maps hold, and
        where precisions differ, since the result has the finer one.
    """
    alike = all(other.dtype == fresh.dtype for other in others)
    return fresh if alike and not torch.is_grad_enabled() else None


def hardswish_of_fresh(maps: Tensor) -> Tensor:
    """Weigh maps that nothing else looks at by a sigmoid of straight lines; see :func:`memory_of`."""
    return F.hardswish(maps, inplace=memory_of(maps) is not None)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The same convolution with weights and bias zero, so that the branch it ends starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class SeededDropout(nn.Module):
    """Dropout that draws from a generator of its own, because the global one would break bit-equal resumption.

    In evaluation mode, or with probability 0, it is the identity. See :func:`reseed_dropout`.

    Args:
        probability: share of the activations set to zero, from 0 up to, not including, 1.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.seed = 0
        self._generator: torch.Generator | None = None

    def reseed(self, seed: int) -> None:
        """Start a new stream of masks."""
        self.seed = seed
        self._generator = None

    def forward(self, x: Tensor) -> Tensor:
        """Zero activations at random and scale the others by 1 / (1 - probability)."""
        if not self.training or self.probability == 0.0:
            return x
        if self._generator is None:
            self._generator = torch.Generator(x.device).manual_seed(self.seed)
        kept = 1.0 - self.probability
        mask = torch.empty_like(x).bernoulli_(kept, generator=self._generator)
        return x * mask.div_(kept)


def reseed_dropout(module: nn.Module, seed: int) -> None:
    """Give every dropout inside a network its own stream, so that a training step repeats from its seed.

    Args:
        module: the network; without dropout nothing happens.
        seed: the step's seed, 0 to 2^63 - 1.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, SeededDropout)]
    for index, layer in enumerate(layers):
        layer.reseed((seed + index) % 2**63)
