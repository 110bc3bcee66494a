"""The judge of a side-by-side run: the critic of the finished build, and what it compares with."""

import time

import torch

from benchmarks.contenders import Contender
from benchmarks.outcomes import Quality
from tasks.labels import NUM_CLASSES
from tasks.params import Params
from tasks.redrawn import Bench, Seen
from tasks.sample import Array, balanced_requests, blocks


class Referee:
    """Has contenders draw images, and judges them.

    Args:
        params: seed, confidence, and how many images are drawn together.
        images: how many are judged at a time, equally many of every class.

    Attributes:
        bench: what all images are held to.
    """

    def __init__(self, params: Params, images: int) -> None:
        self._params, self._per_class = params, images // NUM_CLASSES
        self.bench = Bench.of_build(params.evaluate, params.compute, params.seed)

    def drawn(self, contender: Contender) -> tuple[Quality, float]:
        """The quality of what a contender draws, from the same seeds as all others, and how many images a second."""
        start = time.monotonic()
        images, labels = self.images_of(contender)
        seconds = time.monotonic() - start
        return self.quality(self.bench.look(images, labels)), len(labels) / seconds

    def images_of(self, contender: Contender) -> tuple[Array, Array]:
        """What a contender draws, uint8 [N, 28, 28], and the classes that it should show, int64 [N]."""
        labels, seeds = balanced_requests(self._per_class, self._params.seed)
        parts = blocks(len(labels), self._params.sample.batch)
        return torch.cat([contender.draw(labels[part], seeds[part]) for part in parts]).numpy(), labels

    def real(self) -> Quality:
        """The quality of as many real test images, or of as many as there are."""
        return self.quality(self.bench.look_at_real(self._per_class))

    def quality(self, seen: Seen) -> Quality:
        """What the critic saw, in two figures."""
        return Quality(self.bench.fid(seen), self.bench.accuracy(seen))
