"""Checks come when they are due, and the clock counts training alone."""

import torch
from torch import Tensor, nn

from benchmarks.contenders import Draw
from benchmarks.limits import Limits
from benchmarks.outcomes import Check, Look
from benchmarks.trial import TrainingClock, train
from tasks.sample import Array
from tests.benchmarks.invented import quality

LIMITS = Limits(seconds=8.0, checks=3)
"""Checks are due after 2, 4 and 8 seconds."""


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Patient:
    """A contender whose steps take a time each, until none is left."""

    settings, network, batch, fitted_numbers = "none", nn.Identity(), 10, 0

    def __init__(self, time: Time, seconds: float, steps: int) -> None:
        self.time, self.seconds, self.left = time, seconds, steps
        self.shares: list[float] = []
        self.samplers: dict[int, Draw] = {1: self.draw}

    def step(self, share: float) -> bool:
        if self.left == 0:
            return False
        self.left -= 1
        self.shares.append(share)
        self.time.now += self.seconds
        return True

    def loss(self) -> Tensor:
        return torch.zeros(())

    def draw(self, labels: Array, seeds: Array) -> Tensor:
        return torch.zeros(len(labels), 28, 28, dtype=torch.uint8)


def trained(seconds: float, steps: int) -> tuple[list[tuple[float, int]], list[tuple[float, int]], list[float]]:
    """Seconds and images of the checks, those after each step, and the shares that the contender was told."""
    time = Time()
    contender = Patient(time, seconds, steps)

    def look(after: float, images: int) -> Check:
        time.now += 1000.0  # judging takes its time
        return Check(after, images, Look(quality(1.0), 100, 1, 1.0))

    checks, marks = train(contender, TrainingClock(time), LIMITS, look)
    return [(check.seconds, check.images) for check in checks], marks, contender.shares


def test_checks_come_when_they_are_due_and_cost_no_time() -> None:
    found, marks, shares = trained(seconds=1.0, steps=99)
    assert found == [(2.0, 20), (4.0, 40), (8.0, 80)]
    assert marks == [(float(step), 10 * step) for step in range(1, 9)]
    assert shares == [step / 8.0 for step in range(8)]


def test_checks_that_a_long_step_passes_over_are_one() -> None:
    assert trained(seconds=5.0, steps=99)[0] == [(5.0, 10), (10.0, 20)]


def test_a_training_that_ends_early_is_judged_at_its_end() -> None:
    assert trained(seconds=1.0, steps=5)[0] == [(2.0, 20), (4.0, 40), (5.0, 50)]


def test_a_clock_that_is_paused_stands_still() -> None:
    time = Time()
    clock = TrainingClock(time)
    time.now += 3.0
    with clock.paused():
        time.now += 50.0
    time.now += 0.5
    assert clock.seconds == 3.5
