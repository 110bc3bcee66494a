"""How much arithmetic a piece of work is, and how much of it a convolution does in a second."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.layers import conv3x3
from models.spec import CourseUNetSpec, EdmUNetSpec
from tasks.labels import IMAGE_SIZE

Mark = tuple[float, int]
"""Seconds of training and images seen, after a step."""
ROUNDS, REPEATS = 15, 20
CPU = torch.device("cpu")
WINDOW_S = 2.0


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of convolutions and matrix products, a multiplication and an addition being two.

    Attention's own products are not among them on a CPU; they are about a hundredth here.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def convolution_rate(
    network: EdmUNetSpec | CourseUNetSpec, batch: int, dtype: torch.dtype, device: torch.device = CPU
) -> float:
    """GFLOP/s of a 3x3 convolution, forward and backward, at the better of a network's two deepest sizes.

    Args:
        network: how many channels there are at which sizes.
        batch: images at once.
        dtype: of weights and maps.
        device: where it runs.
    """
    large = IMAGE_SIZE // (network.patch if isinstance(network, EdmUNetSpec) else 2)
    shapes = zip(network.channels[-2:], (large, large // 2), strict=True)
    made = (_convolution(channels, size, batch, dtype) for channels, size in shapes)
    return max(_rate(layer.to(device), maps.to(device).requires_grad_()) for layer, maps in made)


def median_rate(marks: list[Mark], window: float = WINDOW_S) -> float:
    """Images a second: the median over windows, so that a pause of the machine hardly counts.

    Args:
        marks: after each step; the first one begins the first window.
        window: seconds that a window lasts at least; where all marks lie within less, they are one window.
    """
    rates: list[float] = []
    start, before = marks[0]
    for seconds, images in marks:
        if seconds - start >= window:
            rates.append((images - before) / (seconds - start))
            start, before = seconds, images
    (first, none_yet), (last, seen) = marks[0], marks[-1]
    return median(rates) if rates else (seen - none_yet) / max(last - first, 1e-9)


def work_rate(work: Callable[[], Tensor]) -> float:
    """GFLOP/s of a piece of work, told by its result when it is done; the median over rounds."""
    operations = flops(work)
    return median(operations / _seconds(work) for _ in range(ROUNDS)) / 1e9


def _convolution(channels: int, size: int, batch: int, dtype: torch.dtype) -> tuple[nn.Conv2d, Tensor]:
    with torch.random.fork_rng(devices=[]):
        layer = conv3x3(channels, channels).to(dtype).to(memory_format=torch.channels_last)
    maps = torch.linspace(-1.0, 1.0, batch * channels * size**2).view(batch, channels, size, size)
    return layer, maps.to(dtype=dtype, memory_format=torch.channels_last)


def _rate(layer: nn.Conv2d, x: Tensor) -> float:
    return work_rate(lambda: _forward_and_backward(layer, x))


def _forward_and_backward(layer: nn.Conv2d, x: Tensor) -> Tensor:
    out: Tensor = layer(x)
    x.grad = layer.weight.grad = None
    torch.autograd.backward(out, out.detach())
    return x.new_zeros(()) if x.grad is None else x.grad


def _seconds(work: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    results = [work() for _ in range(REPEATS)]
    results[-1].flatten()[0].item()  # a GPU answers when all that was asked of it is done
    return (time.perf_counter() - start) / REPEATS
