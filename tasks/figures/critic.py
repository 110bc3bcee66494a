"""What the independent critic says: class by class, overall against the reference rows, and how far it errs itself."""

from math import ceil, floor, log10
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from models.intervals import Interval
from tasks.evidence import Evidence, Json, Judged, interval, interval_beside
from tasks.figures.clip import tint
from tasks.figures.panels import dots, grid_of_panels, legend_below, name_rows, offset_of, share_axis
from tasks.figures.style import blank, logarithmic, plain_number, save_plot
from tasks.labels import CLASS_NAMES, CLASS_SLUGS, NUM_CLASSES


def bare(block: Json, key: str) -> Interval:
    """A figure that was measured without an interval."""
    return Interval(block[key], block[key], block[key])


SHARES = {"Precision": "precision", "Recall": "recall", "Density": "density", "Coverage": "coverage"}
DISTANCES = {"FID": "fid", "KID": "kid"}
RATIO = 3000.0
"""Ratio between the ends of a logarithmic axis."""
TINY = 1e-6
"""A distance at which a logarithmic axis may end where all are 0, as they are to a critic that sees no difference."""
LABELLED = 3
"""Powers of ten that are written on a logarithmic axis, which shares its row with two others."""


def draw_critic_classes(evidence: Evidence, folder: Path) -> None:
    """Share of each class's images that the critic takes for that class.

    Writes ``critic_classes.svg`` and ``critic_classes.png``.
    """
    rows = [row for row in evidence.rows() if row.measured or row.key == "real"]
    figure, (axes,) = grid_of_panels(1, 1, 3.7)
    name_rows(axes, CLASS_NAMES, labelled=True)
    for index, row in enumerate(rows):
        values = [interval(row.critic["per_class"][slug]["accuracy"]) for slug in CLASS_SLUGS]
        dots(axes, values, offset_of(index, len(rows)), tint(rows, row), row.title, row.measured)
    share_axis(axes, "Images recognised as the class they were asked for")
    axes.axvline(1 / NUM_CLASSES, color="#9ca3af", linewidth=0.9, linestyle=":")
    axes.text(1 / NUM_CLASSES + 0.005, NUM_CLASSES - 0.55, "chance", fontsize=7.5, color="#6b7280")
    legend_below(figure, [axes], 4)
    save_plot(figure, folder, "critic_classes")


def draw_critic_overall(evidence: Evidence, folder: Path) -> None:
    """Every figure of the critic for every variant and reference row.

    Writes ``critic_overall.svg`` and ``critic_overall.png``.
    """
    rows = evidence.rows()
    figure = blank(2 * (0.6 + 0.21 * len(rows)))
    halves: Any = figure.subfigures(2, 1)
    accuracy, *distances = halves[0].subplots(1, 1 + len(DISTANCES))
    _readings(accuracy, rows, [interval(row.critic["accuracy"]) for row in rows], labelled=True)
    share_axis(accuracy, "Class accuracy")
    for axes, (title, key) in zip(distances, DISTANCES.items(), strict=True):
        _distances(axes, rows, [interval_beside(row.critic, key) for row in rows])
        axes.set_title(title)
        axes.set_xlabel("lower is better")
    for axes, (title, key) in zip(halves[1].subplots(1, len(SHARES)), SHARES.items(), strict=True):
        _readings(axes, rows, [bare(row.critic, key) for row in rows], labelled=title == "Precision")
        axes.set_xlim(-0.03, max(1.03, axes.get_xlim()[1]))
        axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(plain_number)
        axes.set_title(title)
    save_plot(figure, folder, "critic_overall")


def _readings(axes: Axes, rows: list[Judged], values: list[Interval], labelled: bool) -> None:
    name_rows(axes, [row.title for row in rows], labelled)
    for index, (row, value) in enumerate(zip(rows, values, strict=True)):
        dots(axes, [value], index, tint(rows, row), row.title, row.measured)


def _distances(axes: Axes, rows: list[Judged], values: list[Interval]) -> None:
    """Distances on a logarithmic axis; what is too small for it, or negative by chance, lies on its left end."""
    largest = max(TINY, *(value.high for value in values))
    left = largest / RATIO
    kept = [Interval(*(max(left, number) for number in (value.value, value.low, value.high))) for value in values]
    _readings(axes, rows, kept, labelled=False)
    logarithmic(axes, "x")
    low, high = left / 1.4, largest * 1.6
    axes.set_xlim(low, high)
    axes.set_xticks(decades(low, high, LABELLED))
    axes.set_xticks(decades(low, high), minor=True)


def decades(low: float, high: float, most: int | None = None) -> list[float]:
    """The powers of ten from ``low`` to ``high``; if there are more than ``most``, some, evenly, with the largest."""
    exponents = range(ceil(log10(low)), floor(log10(high)) + 1)
    stride = ceil(len(exponents) / (most or len(exponents)))
    return [10.0**exponent for exponent in sorted(exponents[::-stride])]


def draw_confusion(evidence: Evidence, folder: Path) -> None:
    """The critic's confusion of real test images, in per cent of each true class.

    Writes ``confusion.svg`` and ``confusion.png``.
    """
    shares = 100 * np.asarray(evidence.critic["confusion"], dtype=np.float64)
    figure = blank(4.3)
    axes = figure.subplots()
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10)
    axes.grid(visible=False)
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 45 else "#22272e"
        if share >= 0.5:
            axes.text(column, row, str(floor(share + 0.5)), ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_xticks(range(NUM_CLASSES), CLASS_NAMES, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(NUM_CLASSES), CLASS_NAMES)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    axes.tick_params(length=0)
    save_plot(figure, folder, "confusion")
