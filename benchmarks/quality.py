"""The judge of a side-by-side run: the critic of the finished build, and what it compares with."""

import time

import torch
from torch import Tensor

from benchmarks.contenders import Contender
from benchmarks.outcomes import Quality
from models.intervals import Interval
from tasks.accuracy import accuracies
from tasks.dataset import real_test_images
from tasks.distances import frechet_interval, real_features
from tasks.judge import load_critic
from tasks.labels import NUM_CLASSES
from tasks.params import Params
from tasks.sample import balanced_requests


class Referee:
    """Has contenders draw images, and judges them.

    Args:
        params: seed, confidence, and how many images are drawn together.
        images: how many are judged at a time, equally many of every class.
    """

    def __init__(self, params: Params, images: int) -> None:
        self._params, self._per_class = params, images // NUM_CLASSES
        self._judge = load_critic(params.compute)
        self._real = real_features(self._judge, params.seed)

    def drawn(self, contender: Contender) -> tuple[Quality, float]:
        """The quality of what a contender draws, from the same seeds as all others, and how many images a second."""
        labels, seeds = balanced_requests(self._per_class, self._params.seed)
        batch = self._params.sample.batch
        parts = [slice(first, first + batch) for first in range(0, len(labels), batch)]
        start = time.monotonic()
        images = torch.cat([contender.draw(labels[part], seeds[part]) for part in parts])
        seconds = time.monotonic() - start
        return self._quality(images, torch.from_numpy(labels)), len(labels) / seconds

    def real(self) -> Quality:
        """The quality of as many real test images, or of as many as there are."""
        split = real_test_images(self._per_class, self._params.seed)
        return self._quality(split.images, split.labels)

    def _quality(self, images: Tensor, labels: Tensor) -> Quality:
        features, logits = self._judge.features_and_logits(images)
        confidence, seed = self._params.evaluate.confidence, self._params.seed
        fid = frechet_interval(features, labels, self._real, confidence, seed)
        return Quality(fid, Interval(**accuracies(logits.argmax(dim=1), labels, confidence)["accuracy"]))
