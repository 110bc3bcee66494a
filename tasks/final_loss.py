"""Where a training loss ends: its mean over the last tenth of a training, and how sure that mean is.

A single row of the history is a mean of few batches, whose noise would decide whether a loss lies within a band.
"""

import math
from collections.abc import Sequence

from tasks.journal import Row

LAST = 0.1
"""The share of the steps that counts as the end."""


def final_loss(rows: Sequence[Row], since: int = 0) -> dict[str, float]:
    """The mean over the last tenth of the steps and its standard error, for a training's summary.

    Each row holds the mean over the steps since the row before it. That of n steps has n times the weight of one step,
    and an n-th of its variance. Of a history too coarse for the last tenth, the last row is taken.

    Args:
        rows: a training's whole history, at least one row.
        since: how many steps had another loss, and do not count.

    Returns:
        ``train_loss_final``, its ``_error`` and the ``_degrees`` of freedom of that; both 0 where one row is all.
    """
    ends = [row["step"] for row in rows]
    told = list(zip([0, *ends], ends, (row["train_loss"] for row in rows), strict=False))
    late = [(end - begin, loss) for begin, end, loss in told if ends[-1] - begin <= LAST * ends[-1] and begin >= since]
    late = late or [(1, rows[-1]["train_loss"])]
    steps = sum(count for count, _ in late)
    value = sum(count * loss for count, loss in late) / steps
    spread, degrees = sum(count * (loss - value) ** 2 for count, loss in late), len(late) - 1
    error = math.sqrt(spread / degrees / steps) if degrees else 0.0
    return {"train_loss_final": value, "train_loss_final_error": error, "train_loss_final_degrees": degrees}
