"""The schedule of a described DDPM, and what it leaves of the images where sampling assumes pure noise."""

from models.schedule import TerminalAudit, audit, build_schedule
from models.spec import DdpmSpec

GONE = 0.05
"""A share of the amplitude below which a garment can no longer be made out, and the schedule counts as complete."""


def audit_of(process: DdpmSpec, pixel_mean: float) -> TerminalAudit:
    """What a process leaves of the training images at its last step.

    Args:
        process: a variant's process.
        pixel_mean: mean of the training pixels in [0, 1].
    """
    return audit(build_schedule(process), 2.0 * pixel_mean - 1.0)
