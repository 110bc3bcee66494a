"""Drawing many small grey pictures at once: bands between curves, anti-aliased, and the fabrics that fill them.

Every function works on a batch of N pictures of 28x28; coordinates are in pixels, x to the right and y downwards from
the upper left corner. A position or width is one number for all pictures, or an array with one for each.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tasks.labels import IMAGE_SIZE

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Scalar = float | FloatArray
Knot = tuple[Scalar, Scalar]

LINES_PER_PIXEL = 4
LINES = (np.arange(IMAGE_SIZE * LINES_PER_PIXEL) + 0.5) / LINES_PER_PIXEL
"""The scan lines on which curves are evaluated; across a line, coverage is exact."""
PIXELS = np.arange(IMAGE_SIZE) + 0.5


class Dice:
    """Random numbers for a batch of pictures.

    Args:
        rng: where they come from.
        count: number N of pictures.
    """

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.rng, self.count = rng, count

    def between(self, low: float, high: float) -> FloatArray:
        """Uniform numbers, shape (N,)."""
        return self.rng.uniform(low, high, self.count)

    def chance(self, share: float) -> FloatArray:
        """1 for about this share of the pictures and 0 for the others, shape (N,)."""
        return (self.rng.random(self.count) < share).astype(np.float64)


def column(value: Scalar | np.ndarray[Any, np.dtype[np.bool_]]) -> FloatArray:
    """Shape (N, 1), or (1, 1) for a single number."""
    return np.reshape(np.asarray(value, dtype=np.float64), (-1, 1))


def curve(knots: Sequence[Knot], rounded: bool = False) -> FloatArray:
    """A curve through knots, evaluated on the scan lines, shape (N or 1, lines); constant beyond the ends.

    Args:
        knots: (position along the lines, value) in rising order of position.
        rounded: ease in and out of every knot instead of running straight.
    """
    total = column(knots[0][1]) + np.zeros_like(LINES)
    for (start, before), (end, after) in pairwise(knots):
        length = np.maximum(column(end) - column(start), 1e-6)
        share = np.clip((LINES - column(start)) / length, 0.0, 1.0)
        if rounded:
            share = share * share * (3.0 - 2.0 * share)
        total = total + (column(after) - column(before)) * share
    return total


def ellipse(centre: Scalar, radius: Scalar, half_width: Scalar) -> FloatArray:
    """Half the width of an upright ellipse on every scan line; 0 beyond its ends."""
    height = (LINES - column(centre)) / column(radius)
    return column(half_width) * np.sqrt(np.clip(1.0 - height * height, 0.0, None))


def band(low: FloatArray, high: FloatArray, start: Scalar, end: Scalar) -> FloatArray:
    """How much of each pixel lies between two curves over x, on the rows from ``start`` to ``end``.

    Args:
        low: left edge on every scan line, shape (N or 1, lines).
        high: right edge.
        start: upper end of the band.
        end: lower end.

    Returns:
        Coverage from 0 to 1, shape (N or 1, 28, 28).
    """
    inside = (column(start) <= LINES) & (column(end) > LINES)
    fine = _reach(np.where(inside, np.maximum(low, high), low)) - _reach(low)
    lines = fine.reshape(-1, IMAGE_SIZE, LINES_PER_PIXEL, IMAGE_SIZE)
    return sum((lines[:, :, line] for line in range(LINES_PER_PIXEL)), np.zeros(1)) / LINES_PER_PIXEL


def upright(low: FloatArray, high: FloatArray, start: Scalar, end: Scalar) -> FloatArray:
    """As :func:`band`, with x and y exchanged: between two heights, on the columns from ``start`` to ``end``."""
    return band(low, high, start, end).swapaxes(1, 2)


def shade(value: Scalar) -> FloatArray:
    """A brightness, one a picture, ready to be painted; shape (N or 1, 1, 1)."""
    return column(value)[..., None]


def paint(picture: FloatArray, coverage: FloatArray, brightness: FloatArray) -> None:
    """Lay ``brightness`` (0 to 1) over the covered part of the pictures, in place."""
    picture += coverage * (brightness - picture)


def fabric(dice: Dice, plain: float = 0.55) -> FloatArray:
    """A cloth for each picture: plain, across, along or both-ways striped, or shaded from top to bottom.

    Args:
        dice: decides the rest.
        plain: share of plain cloths; the others are equally frequent.

    Returns:
        Brightness from 0.12 to 1, shape (N, 28, 28).
    """
    kind = dice.rng.choice(5, dice.count, p=[plain] + [(1.0 - plain) / 4] * 4)
    dark = dice.chance(0.25)
    base = dark * dice.between(0.28, 0.5) + (1.0 - dark) * dice.between(0.5, 0.95)
    strength = column(dice.between(0.08, 0.2))
    fall = np.linspace(-1.0, 1.0, IMAGE_SIZE) * column(dice.between(-1.0, 1.0))
    rows = strength * (_stripes(dice) * column(np.isin(kind, (1, 3))) + fall * column(kind == 4))
    columns = strength * _stripes(dice) * column(np.isin(kind, (2, 3)))
    light = column(dice.between(-0.08, 0.08)) * np.linspace(-1.0, 1.0, IMAGE_SIZE)
    grain = shade(dice.between(0.0, 0.03)) * dice.rng.standard_normal((dice.count, IMAGE_SIZE, IMAGE_SIZE))
    return np.clip(shade(base) + rows[:, :, None] + (columns + light)[:, None, :] + grain, 0.12, 1.0)


def to_bytes(picture: FloatArray) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pictures as uint8, 0 black to 255 white."""
    return np.clip(np.rint(picture * 255.0), 0, 255).astype(np.uint8)


def _stripes(dice: Dice) -> FloatArray:
    phase = PIXELS / column(dice.between(2.6, 7.0)) + column(dice.between(0.0, 1.0))
    return np.clip(2.0 * np.sin(2.0 * np.pi * phase), -1.0, 1.0)


def _reach(edge: FloatArray) -> np.ndarray[Any, np.dtype[np.float32]]:
    """How much of each pixel lies to the left of an edge, shape (N or 1, lines, 28)."""
    share = np.subtract(edge[..., None], np.arange(IMAGE_SIZE), dtype=np.float32, casting="same_kind")
    np.clip(share, 0.0, 1.0, out=share)
    return share
