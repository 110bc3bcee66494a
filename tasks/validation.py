"""Validation loss on images, levels and noise that never change, so that its values can be compared along a run."""

import torch

from models.diffusion import Diffusion, Draw
from tasks.batches import on_device
from tasks.dataset import Split
from tasks.seeds import torch_generator

BLOCK = 250
NUM_LEVELS = 10
LEVEL_SHARE = 4
"""Each of the noise levels is probed on one image in this many."""


class Validation:
    """Fixed questions to a model in training, answered in float32 whatever the precision that it trains in.

    Args:
        split: held-out images, of which the first ``count`` of a fixed permutation are used.
        count: number of images.
        seed: the user's seed.
        device: where the model runs.
    """

    def __init__(self, split: Split, count: int, seed: int, device: torch.device) -> None:
        chosen = torch.randperm(len(split.labels), generator=torch_generator(seed, "validation"))[:count]
        self._images, self._labels = split.images[chosen].to(device), split.labels[chosen].to(device)
        self._seed, self._device = seed, device

    def loss(self, diffusion: Diffusion) -> float:
        """Mean loss over all images, at noise levels spread as in training."""
        count = len(self._labels)
        draw = diffusion.draw(count, torch_generator(self._seed, "validation-draw"))
        return self._mean_loss(diffusion, draw)

    def by_level(self, diffusion: Diffusion) -> list[dict[str, float]]:
        """Mean loss at each of :data:`NUM_LEVELS` noise levels, from nearly clean to nearly noise.

        Returns:
            Rows with ``level``, the share of the noise scale from 0 to 1, ``value``, its t or sigma, and ``val_loss``.
        """
        count = max(1, len(self._labels) // LEVEL_SHARE)
        rows = []
        for index in range(NUM_LEVELS):
            share = (index + 0.5) / NUM_LEVELS
            draw = diffusion.probe(count, share, torch_generator(self._seed, "validation-level", index))
            loss = self._mean_loss(diffusion, draw)
            rows.append({"level": share, "value": diffusion.level_value(share), "val_loss": loss})
        return rows

    @torch.no_grad()
    def _mean_loss(self, diffusion: Diffusion, draw: Draw) -> float:
        was_training = diffusion.training
        diffusion.eval()
        total = 0.0
        for start in range(0, len(draw.level), BLOCK):
            block = slice(start, min(start + BLOCK, len(draw.level)))
            part = on_device(Draw(level=draw.level[block], eps=draw.eps[block]), self._device)
            labels = self._labels[block]
            keep = torch.ones(len(labels), device=self._device)
            total += diffusion.loss(diffusion.encode(self._images[block]), labels, keep, part).double().sum().item()
        diffusion.train(was_training)
        return total / len(draw.level)
