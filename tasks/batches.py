"""Which images a training step sees and what is drawn for it: functions of (seed, step) alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.diffusion import Diffusion, Draw
from models.noise import SEEDS
from models.training import Batch
from models.training_spec import TrainingSpec
from tasks.dataset import Split
from tasks.seeds import derived_seed, torch_generator


class BatchOrder:
    """A fresh permutation of the images every epoch; the last, incomplete batch of an epoch is left out.

    Args:
        count: number of images.
        batch: images a step; all of them where there are fewer.
        seed: the user's seed.
        device: where the indices are needed; the order is the same everywhere.
    """

    def __init__(self, count: int, batch: int, seed: int, device: torch.device) -> None:
        self._count, self._batch, self._seed, self._device = count, min(batch, count), seed, device
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> Tensor:
        """Indices of the images of a step, counted from 0; as many in every step."""
        per_epoch = self._count // self._batch
        epoch, position = divmod(step, per_epoch)
        if epoch != self._epoch:
            generator = torch_generator(self._seed, "epoch", epoch)
            self._epoch, self._order = epoch, torch.randperm(self._count, generator=generator).to(self._device)
        return self._order[position * self._batch : (position + 1) * self._batch]


def training_batches(
    diffusion: Diffusion, split: Split, spec: TrainingSpec, seed: int, start: int, device: torch.device
) -> Iterator[Batch]:
    """The batches of steps ``start`` to ``spec.steps``, each drawn from the generator of its own step.

    Args:
        diffusion: encodes the images and draws noise levels.
        split: training images and labels.
        spec: batch size, number of steps and share of hidden labels.
        seed: the user's seed.
        start: first step, counted from 0.
        device: where the batch is needed, and its noise drawn.
    """
    order = BatchOrder(len(split.labels), spec.batch, seed, device)
    images, labels = split.images.to(device), split.labels.to(device)
    for step in range(start, spec.steps):
        chosen = order.indices(step)
        generator = torch_generator(seed, "train", step, device=device)
        draw = diffusion.draw(len(chosen), generator)
        keep = torch.rand(len(chosen), generator=generator, device=device) >= spec.label_drop
        image_seeds = torch.randint(SEEDS, (len(chosen),), generator=generator, device=device)
        x0, dropout_seed = diffusion.encode(images[chosen]), derived_seed(seed, "dropout", step)
        yield Batch(x0, labels[chosen], keep.to(torch.float32), draw, dropout_seed, image_seeds)


def on_device(draw: Draw, device: torch.device) -> Draw:
    """The same draw, moved to a device."""
    return Draw(level=draw.level.to(device), eps=draw.eps.to(device))
