"""What a contender's run comes to, and what is read off it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from models.intervals import Interval

TARGETS = (10.0, 5.0, 3.0)
"""FIDs whose times are told."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What the critic says of images: Fréchet distance to the training images, and share taken for its class."""

    fid: Interval
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Look:
    """How good drawings are.

    Attributes:
        quality: of them.
        judged: how many they are.
        evaluations: of a network for each.
        drawn_per_second: how many were made in a second.
    """

    quality: Quality
    judged: int
    evaluations: int
    drawn_per_second: float


@dataclass(frozen=True, slots=True)
class Check:
    """A contender after some seconds of training on so many images, and what it draws then."""

    seconds: float
    images: int
    look: Look

    @property
    def quality(self) -> Quality:
        """How good its drawings are."""
        return self.look.quality


@dataclass(frozen=True, slots=True)
class Outcome:
    """One entry's whole run.

    Attributes:
        name: of the contender.
        option: of its entry, see :class:`benchmarks.contenders.Entry`.
        settings: see :class:`benchmarks.contenders.Contender`.
        parameters: of its network.
        fitted_numbers: see :class:`benchmarks.contenders.Contender`.
        checks: in the order of time.
        images_per_second: of training.
        gflop_per_image: of the loss and its gradients.
        convolution_gflops: GFLOP/s of a convolution in float32 and in the precision of training, the better of two
            measurements, before the training and after it.
        step_memory_mb: of training steps, beyond what the process holds before the first of them.
        ended: UTC, to the minute, when training and judging were done.
    """

    name: str
    option: str | float
    settings: str
    parameters: int
    fitted_numbers: int
    checks: tuple[Check, ...]
    images_per_second: float
    gflop_per_image: float
    convolution_gflops: dict[str, float]
    step_memory_mb: float
    ended: str

    @property
    def evaluations(self) -> int:
        """How often the network looks at each image that is drawn at the end."""
        return self.checks[-1].look.evaluations

    @property
    def drawn_per_second(self) -> float:
        """Images, the median over the checks that drew as the last one did."""
        looks = [check.look for check in self.checks]
        return median(look.drawn_per_second for look in looks if look.evaluations == self.evaluations)

    @property
    def gflops(self) -> float:
        """GFLOP/s of training."""
        return self.images_per_second * self.gflop_per_image


@dataclass(frozen=True, slots=True)
class Failure:
    """An entry that came to nothing, and why, in a line."""

    name: str
    reason: str


def best_of(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of each contender, in the order of their first entries, the one whose last images are nearest to real ones."""
    names = dict.fromkeys(outcome.name for outcome in outcomes)
    tries = ([outcome for outcome in outcomes if outcome.name == name] for name in names)
    return [min(own, key=lambda outcome: outcome.checks[-1].quality.fid.value) for own in tries]


def seconds_to(target: float, checks: Sequence[Check]) -> float | None:
    """Seconds of training until the FID first fell to ``target``, on straight lines between checks in both logarithms.

    Returns:
        That of the first check where it is there already; None where it was never reached.
    """
    points = [(check.seconds, check.quality.fid.value) for check in checks]
    if points[0][1] <= target:
        return points[0][0]
    for (before, above), (after, below) in pairwise(points):
        if below <= target:
            share = math.log(above / target) / math.log(above / below)
            return float(before * (after / before) ** share)
    return None
