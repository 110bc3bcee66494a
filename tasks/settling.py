"""From which share of the reverse steps on garments are recognised, image by image, and the verdict on the claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from models.intervals import Interval
from tasks.comparisons import median_interval
from tasks.evidence import CLAIMED_STEPS, THE_SOURCE, Evidence
from tasks.verdicts import Finding, Verdict
from tasks.wording import NBSP, count, escape

Seen = Literal["noisy", "guess"]
SIGHT = (
    "The claim is read as one on the noisy picture. The critic was trained on clean images, so an eye may recognise "
    "that picture earlier: lateness counts only where the model's guess of the result is late too."
)

OTHER_SYSTEMS = (
    "It is a claim about the source's steps: other samplers take other ones, and one that starts from a closed-form "
    "guess has garments before its first."
)


@dataclass(frozen=True, slots=True)
class Settling:
    """The two looks between which an image came to be recognised for good.

    Attributes:
        after: share of the steps done at the last look at which it was not recognised; at the first look where it
            always was; infinity where it is not recognised at the end.
        by: share of the steps done at the look from which on it is recognised; infinity where it is not at the end.
    """

    after: float
    by: float


def settling_points(table: pd.DataFrame, seen: Seen) -> list[Settling]:
    """When each image came to be recognised for good.

    Args:
        table: the rows of one variant along the reverse process; see :func:`tasks.recognition.recognition_table`.
        seen: the noisy picture, or the model's guess of the clean one.
    """
    return [_settling(rows, seen) for _, rows in table.sort_values("position").groupby("image")]


def _settling(rows: pd.DataFrame, seen: Seen) -> Settling:
    wrong, positions = np.flatnonzero(rows[seen].to_numpy() == 0), rows["position"].to_numpy()
    if len(wrong) == 0:
        return Settling(float(positions[0]), float(positions[0]))
    last = int(wrong[-1])
    if last == len(positions) - 1:
        return Settling(math.inf, math.inf)
    return Settling(float(positions[last]), float(positions[last + 1]))


def settled_median(found: Sequence[Settling], confidence: float) -> Interval:
    """The share of the steps by which the median image is recognised for good.

    Its interval comes from the order of the images and is widened by the distance between two looks.
    """
    by = median_interval([point.by for point in found], confidence)
    after = median_interval([point.after for point in found], confidence)
    return Interval(by.value, after.low, by.high)


def steps_finding(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> Finding:
    """Whether garments become recognisable after 50-70 % of the reverse steps of the source's system.

    Args:
        evidence: the build's measurements.
        recognition: see :func:`tasks.recognition.recognition_table`.
        confidence: of the intervals.
    """
    claim, source = "Garments become recognisable after 50-70 % of the reverse steps.", evidence.source_variant()
    if source is None:
        return Finding(claim, "not answered", escape(OTHER_SYSTEMS), "settling", THE_SOURCE)
    rows = reverse_rows(recognition, source.name)
    picture, guess = (settled_median(settling_points(rows, seen), confidence) for seen in ("noisy", "guess"))
    text = f"{source.spec.title}: {settling_text(rows, confidence)} {SIGHT} {OTHER_SYSTEMS}"
    needs = f"more samples of {source.spec.title} that the critic recognises"
    return Finding(claim, steps_verdict(picture, guess), escape(text), "settling", needs)


def reverse_rows(recognition: pd.DataFrame, variant: str) -> pd.DataFrame:
    """The rows of one variant along the reverse process."""
    return recognition[(recognition["variant"] == variant) & (recognition["along"] == "reverse")]


def steps_verdict(picture: Interval, guess: Interval) -> Verdict:
    """The verdict on the claimed range, from the median image's share of the steps.

    The claim is confirmed where the interval for the noisy picture lies inside the claimed range. It is refuted where
    that lies before the range, or where even the guess of the result comes after it: lateness of the picture alone may
    be the critic's. Where half the images may never be recognised, nothing is answered.

    Args:
        picture: of the noisy picture.
        guess: of the guess of the result.
    """
    first, last = CLAIMED_STEPS
    low, high = round(picture.low, 6), round(picture.high, 6)
    if math.isinf(high):
        return "not answered"
    if first <= low and high <= last:
        return "confirmed"
    return "refuted" if high < first or round(guess.low, 6) >= last else "not answered"


def looks_text(rows: pd.DataFrame, steps: int) -> str:
    """After which of its reverse steps a model was looked at.

    Args:
        rows: of one variant along the reverse process.
        steps: that it takes, a jump as one.
    """
    every = rows["position"].nunique() == steps + 1  # with the noise that it starts from
    return f"after each of its {count(steps)} reverse steps" if every else "after every tenth of the reverse steps"


def settling_text(rows: pd.DataFrame, confidence: float) -> str:
    """In how many images, and from where on, garments are recognised.

    Args:
        rows: of one variant along the reverse process.
        confidence: of the intervals.
    """
    found = {seen: settling_points(rows, seen) for seen in ("noisy", "guess")}
    settled = sum(math.isfinite(point.by) for point in found["noisy"])
    ended = f"{settled or 'none'} of {len(found['noisy'])} samples recognised at the end."
    if not settled:
        return ended
    picture, guess = (_span(points, confidence) for points in found.values())
    return (
        f"{ended} In these the noisy picture is recognised for good {picture}, the model's guess of the result {guess}."
    )


def _span(found: Sequence[Settling], confidence: float) -> str:
    """From where on the recognised images stay so, and the median image's share with its interval."""
    shares = sorted(point.by for point in found if math.isfinite(point.by))
    first, last = share_text(shares[0]), share_text(shares[-1])
    begin = first if first == last else f"somewhere between {first} and {last}"
    span = f"from {begin} of the steps on"
    return f"{span} ({median_text(settled_median(found, confidence))})"


def median_text(middle: Interval) -> str:
    """The median image's share of the steps with its interval; infinity is an image that never settles."""
    if math.isinf(middle.value):
        return "median of all samples: never"
    if math.isinf(middle.low):
        return f"median of all samples {share_text(middle.value)}; too few images for an interval"
    low, high = share_text(middle.low), share_text(middle.high)
    return f"median of all samples {share_text(middle.value)}, interval {low} to {high}"


def share_text(share: float) -> str:
    """A share of the steps in whole per cent."""
    return "never" if math.isinf(share) else f"{100 * share:.0f}{NBSP}%"
