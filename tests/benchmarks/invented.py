"""Outcomes of trainings that never were."""

from benchmarks.outcomes import Check, Look, Outcome, Quality
from models.intervals import Interval


def quality(fid: float, accuracy: float = 0.8) -> Quality:
    return Quality(Interval(fid, fid / 2, 2 * fid), Interval(accuracy, accuracy - 0.1, accuracy + 0.1))


def checks(*points: tuple[float, float]) -> tuple[Check, ...]:
    """Checks after seconds of training, with an FID each."""
    return tuple(Check(seconds, int(100 * seconds), Look(quality(fid), 100, 18, 50.0)) for seconds, fid in points)


def outcome(
    name: str, *points: tuple[float, float], settings: str = "steps of 64", option: str | float = "own"
) -> Outcome:
    return Outcome(
        name=name,
        option=option,
        settings=settings,
        parameters=1_234_567,
        fitted_numbers=0,
        checks=checks(*points),
        images_per_second=500.0,
        gflop_per_image=0.4,
        convolution_gflops={"float32": 400.0, "bfloat16": 1600.0},
        step_memory_mb=812.4,
        ended="2026-11-29 10:00",
    )
