"""The judge of a side-by-side run: the critic of the finished build, and what it compares with."""

import time

import torch

from benchmarks.contenders import Contender, Draw
from benchmarks.outcomes import TARGETS, Look, Quality
from tasks.labels import NUM_CLASSES
from tasks.params import Params
from tasks.redrawn import Bench, Seen
from tasks.sample import Array, balanced_requests, blocks

GLANCE = 500
"""Images that are judged first; where they are far from all targets, no more are drawn."""
FAR = 1.25 * max(TARGETS)
"""An FID of a glance that lies above this by its whole interval is of no use for the targets.

So few images are judged too far, but not by so much: 500 of the flagship have an FID of 1.7, and 5000 one of 1.2.
"""


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

    def drawn(self, contender: Contender) -> Look:
        """What a contender draws, from the same seeds as all others.

        A glance first by each of its samplers; the best of them draws the others, unless the glance is enough.
        """
        few = min(GLANCE // NUM_CLASSES, self._per_class)
        glances = [self._look(evaluations, draw, few) for evaluations, draw in contender.samplers.items()]
        best = min(glances, key=lambda look: look.quality.fid.value)
        if few == self._per_class or best.quality.fid.low > FAR:
            return best
        return self._look(best.evaluations, contender.samplers[best.evaluations], self._per_class)

    def images_by(self, draw: Draw, per_class: int | None = None) -> tuple[Array, Array]:
        """What is drawn, uint8 [N, 28, 28], and the classes that it should show, int64 [N].

        Args:
            draw: draws it.
            per_class: images of each class, where it is not the referee's own number.
        """
        labels, seeds = balanced_requests(per_class or self._per_class, self._params.seed)
        parts = blocks(len(labels), self._params.sample.batch)
        return torch.cat([draw(labels[part], seeds[part]) for part in parts]).numpy(), labels

    def real(self) -> Quality:
        """The quality of as many real test images, or of as many as there are."""
        return self.quality(self.bench.look_at_real(self._per_class))

    def _look(self, evaluations: int, draw: Draw, per_class: int) -> Look:
        start = time.monotonic()
        images, labels = self.images_by(draw, per_class)
        rate = len(labels) / (time.monotonic() - start)
        return Look(self.quality(self.bench.look(images, labels)), len(labels), evaluations, rate)

    def quality(self, seen: Seen) -> Quality:
        """What the critic saw, in two figures."""
        return Quality(self.bench.fid(seen), self.bench.accuracy(seen))
