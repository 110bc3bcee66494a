"""Whether two measured figures differ by more than chance: intervals of differences, from intervals of figures."""

import math
from collections.abc import Sequence

from models.intervals import Interval


def difference(first: Interval, second: Interval) -> Interval:
    """The difference of two independent figures, from their intervals.

    The method of variance estimates recovery (Newcombe 1998, method 10; Zou and Donner 2008, equation 5): it keeps
    the asymmetry of the two intervals and needs no normal distribution.

    Args:
        first: the figure that counts as positive.
        second: the figure taken away, of the same confidence.
    """
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, value - down, value + up)


def mean_of(figures: Sequence[Interval]) -> Interval:
    """The mean of independent figures with its interval, by the same method as :func:`difference`."""
    total = len(figures)
    value = sum(figure.value for figure in figures) / total
    down = math.hypot(*(figure.value - figure.low for figure in figures)) / total
    up = math.hypot(*(figure.high - figure.value for figure in figures)) / total
    return Interval(value, value - down, value + up)


def joint_confidence(count: int, confidence: float) -> float:
    """The confidence to ask of each of several intervals so that all of them hold at once (Bonferroni).

    Args:
        count: how many intervals there are, at least 1.
        confidence: wanted of all together, between 0 and 1.
    """
    return 1.0 - (1.0 - confidence) / count


def excludes_zero(value: Interval) -> bool:
    """Whether an interval of a difference lies on one side of zero: the difference is resolved."""
    return value.low > 0.0 or value.high < 0.0


def apart(first: Interval, second: Interval) -> bool:
    """Whether two intervals do not touch.

    This asks for more than :func:`excludes_zero` of their difference, and is used where the two were picked from
    many after looking, for instance as the best and the worst class.
    """
    return first.low > second.high or second.low > first.high


def median_interval(values: Sequence[float], confidence: float) -> Interval:
    """The median with its distribution-free interval from the order of the values (Conover 1999, section 3.2).

    Args:
        values: at least one; infinity stands for a value beyond all others.
        confidence: at least that probability lies inside; where even the extremes hold less, the interval
            is everything from minus to plus infinity.
    """
    ranked, total = sorted(values), len(values)
    below = [sum(math.comb(total, k) for k in range(rank + 1)) / 2**total for rank in range(total)]
    left_out = [rank for rank in range(total) if 2 * below[rank] <= 1 - confidence]
    middle = ranked[(total - 1) // 2]
    if not left_out:
        return Interval(middle, -math.inf, math.inf)
    return Interval(middle, ranked[left_out[-1]], ranked[total - 1 - left_out[-1]])
