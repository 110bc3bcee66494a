"""Four classifiers of garments beside the critic, which no stage of the pipeline knows.

They are of other makes than the critic and trained by another recipe: a stack of convolutions with one wide layer
before its answer (Simonyan and Zisserman 2015), a residual network whose blocks normalise first (He et al. 2016,
"Identity mappings"), a network of wide kernels, one for each map (Liu et al. 2022), and one whose layers see the maps
of all layers before them (Huang et al. 2017). The last hidden vector of each is normalised to mean 0 and variance 1 per
component over the training images, as the critic's is, and as long; so that no distance depends on the scale that a
training came to.
"""

import math
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.weights import seeded_weights
from models.classifier import halved
from tasks.batches import BatchOrder
from tasks.dataset import Split, load_split
from tasks.errors import DivergedError
from tasks.files import sha256_file, sha256_json, write_tensors
from tasks.judge import Judge, as_input
from tasks.labels import NUM_CLASSES
from tasks.paths import WORK, project_root, split_file
from tasks.progress import track
from tasks.seeds import derived_seed

FEATURES = 128
SEED = 2025
"""Of weights and order, whatever seed the build has: a judge is to be the same for all builds on the same images."""
STEPS, BATCH = 1700, 256
"""Eight times through the training images."""
LR, WEIGHT_DECAY = 4e-3, 0.05
Maker = Callable[[], nn.Module]


class Network(nn.Module):
    """A classifier that tells its last hidden vector beside its answer, as the critic does.

    Args:
        body: images in [-1, 1], shape (B, 1, 28, 28), to vectors of ``width`` components.
        width: see there.
    """

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.body = body
        self.project = nn.Linear(width, FEATURES, bias=False)
        self.normalise = nn.BatchNorm1d(FEATURES, affine=False)
        self.head = nn.Linear(FEATURES, NUM_CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, 10) and features (B, FEATURES)."""
        features = self.normalise(self.project(self.body(x)))
        return self.head(F.relu(features)), features


class ResidualBlock(nn.Module):
    """Two convolutions, each of a normalised, rectified map, added to what they were made from.

    Args:
        before: its channels.
        after: those of the sum.
        stride: 2 halves its sides.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
        )
        self.short: nn.Module = nn.Identity()
        if (before, stride) != (after, 1):
            self.short = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, shape (B, ``after``, H / ``stride``, W / ``stride``)."""
        both: Tensor = self.short(x) + self.way(x)
        return both


class Halved(nn.Module):
    """The maximum of each whole 2x2 block, made as in the critic, whose training repeats on a GPU too."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (B, C, H // 2, W // 2); see :func:`models.classifier.halved`."""
        height, width = (side - side % 2 for side in x.shape[2:])
        return halved(x[:, :, :height, :width])


class WideBlock(nn.Module):
    """A 7x7 kernel for each map, then two layers at every place, added to what they were made from.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum, of the shape of ``x``."""
        both: Tensor = x + self.way(x)
        return both


class DenseLayer(nn.Module):
    """A convolution of the normalised, rectified maps, whose own maps join those that it saw.

    Args:
        before: channels in.
        growth: channels added.
    """

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(before, growth, 3, padding=1, bias=False)
        self.way = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU(), convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (B, ``before`` + ``growth``, H, W)."""
        return torch.cat([x, self.way(x)], dim=1)


def stack() -> Network:
    """Two convolutions at each of 28x28, 14x14 and 7x7, and every place of what is left in one vector."""
    parts: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        for inputs in (before, after):
            parts += [nn.Conv2d(inputs, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        parts.append(Halved())
    return Network(nn.Sequential(*parts, nn.Flatten()), 128 * 3 * 3)


def residual() -> Network:
    """A block at each of 28x28, 14x14 and 7x7, and the mean over all places."""
    blocks = [ResidualBlock(32, 32, 1), ResidualBlock(32, 64, 2), ResidualBlock(64, 128, 2)]
    ends = [nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Network(nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), *blocks, *ends), 128)


def wide() -> Network:
    """Three blocks at each of 14x14 and 7x7, and the mean over all places."""
    parts: list[nn.Module] = []
    for before, after in ((1, 64), (64, 128)):
        parts += [nn.Conv2d(before, after, 2, stride=2), *(WideBlock(after) for _ in range(3))]
    return Network(nn.Sequential(*parts, nn.BatchNorm2d(128), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 128)


def dense() -> Network:
    """Four layers at 14x14 and six at 7x7, and the mean over all places."""
    parts: list[nn.Module] = [nn.Conv2d(1, 32, 4, stride=2, padding=1, bias=False)]
    parts += [DenseLayer(32 + 24 * layer, 24) for layer in range(4)]
    parts += [nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 64, 1, bias=False), Halved()]
    parts += [DenseLayer(64 + 24 * layer, 24) for layer in range(6)]
    ends = [nn.BatchNorm2d(208), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Network(nn.Sequential(*parts, *ends), 208)


MAKERS: dict[str, Maker] = {
    "a stack of convolutions": stack,
    "a residual network": residual,
    "a network of wide kernels": wide,
    "a densely connected network": dense,
}
HELD_BACK = "a densely connected network"
"""The judge that is asked of what is published alone: it was made after the flagship's settings were chosen, for which
the figures of the others had been looked at. Whoever chooses by it needs another one."""


def outside_judges(device: torch.device) -> dict[str, Judge]:
    """All judges by name, trained on the build's training images where they have not been yet.

    Raises:
        MissingResourceError: the data has not been prepared.
        DivergedError: a loss is not finite.
    """
    split, images = load_split("train"), sha256_file(split_file("train"))
    paths = {name: _weights_file(name, images) for name in MAKERS}
    return {name: Judge(_known_or_fitted(path, name, split, device), device) for name, path in paths.items()}


def _known_or_fitted(path: Path, name: str, split: Split, device: torch.device) -> nn.Module:
    if not path.exists():
        write_tensors(path, fitted(name, split, device).state_dict())
    network = MAKERS[name]()
    network.load_state_dict(safetensors.torch.load_file(path))
    return network


def _weights_file(name: str, images: str) -> Path:
    """Named by all that its content follows from, but for the machine."""
    mark = sha256_json([name, images, sha256_file(Path(__file__)), torch.__version__])
    return project_root() / WORK / "outside" / f"{mark[:16]}.safetensors"


def fitted(name: str, split: Split, device: torch.device, steps: int = STEPS) -> nn.Module:
    """Train a judge with AdamW, its rate in one cycle (Smith and Topin 2019), on images as they are.

    Args:
        name: of :data:`MAKERS`.
        split: images and labels to learn.
        device: where to train.
        steps: of ``BATCH`` images.

    Raises:
        DivergedError: the loss is not finite.
    """
    seed = derived_seed(SEED, name)
    with seeded_weights(seed):
        network = MAKERS[name]().to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=WEIGHT_DECAY, fused=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    images, labels = split.images.to(device), split.labels.to(device)
    order = BatchOrder(len(split), BATCH, seed, device)
    for step in track(range(steps), steps, f"training {name}"):
        chosen = order.indices(step)
        logits, _ = network(as_input(images[chosen]))
        loss = F.cross_entropy(logits, labels[chosen])
        if not math.isfinite(value := loss.item()):
            raise DivergedError(name, f"the loss is {value} at step {step + 1}", "a finite number", "run it again")
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        cycle.step()
    return network
