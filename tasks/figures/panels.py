"""Grids of panels and rows of dots with intervals: the two shapes that most plots of the report take."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.intervals import Interval
from tasks.evidence import VariantEvidence
from tasks.figures.style import BAND, INK, MUTED, REFERENCE_COLOURS, blank, colour

PANELS = 6
"""Panels of a page at most."""
WIDTH_IN_LETTERS = 105
"""How many letters of a legend are about as wide as a figure."""
MARK_IN_LETTERS = 6
"""The same of a mark in a legend."""
SPREAD = 0.56
"""Share of a row's height over which its dots are spread."""
REAL_TITLE = "real test images"


def grid_of_panels(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels.

    Args:
        count: number of panels.
        columns: panels in a full row.
        height: inches per row.
    """
    columns = min(columns, count)
    rows = ceil(count / columns)
    figure = blank(rows * height)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in cells[count:]:
        spare.set_axis_off()
    return figure, list(cells[:count])


@dataclass(frozen=True, slots=True)
class Page:
    """A figure with a panel for each of some variants.

    Attributes:
        name: of its file.
        figure: with its panels.
        panels: each variant's panel and itself.
    """

    name: str
    figure: Figure
    panels: list[tuple[Axes, VariantEvidence]]

    @property
    def first(self) -> Axes:
        """The panel at the top left."""
        return self.panels[0][0]


def pages_of_panels(variants: Sequence[VariantEvidence], name: str, height: float) -> Iterator[Page]:
    """Figures ``<name>-1``, ``<name>-2``, ... with a panel for each variant, of which each fits a page of the report.

    Args:
        variants: in the order of the panels.
        name: of the figures.
        height: inches per row of two panels.
    """
    count = ceil(len(variants) / PANELS)
    for number in range(count):
        start, end = (len(variants) * edge // count for edge in (number, number + 1))
        figure, panels = grid_of_panels(end - start, 2, height)
        yield Page(f"{name}-{number + 1}", figure, list(zip(panels, variants[start:end], strict=True)))


def colours_of(variants: Sequence[VariantEvidence]) -> dict[str, str]:
    """The colour of each of a build's variants, by name: the same in every figure."""
    return {variant.name: colour(index) for index, variant in enumerate(variants)}


def name_rows(axes: Axes, names: Sequence[str], labelled: bool) -> None:
    """Give a panel one row per name, the first on top; only the leftmost panel writes the names."""
    axes.set_yticks(range(len(names)), list(names) if labelled else [""] * len(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for row in range(0, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=BAND, zorder=0)


def offset_of(series: int, count: int) -> float:
    """Vertical shift of one of several series that share a row, so that none hides another."""
    return 0.0 if count == 1 else SPREAD * (series / (count - 1) - 0.5)


def dots(axes: Axes, values: Sequence[Interval], shift: float, colour: str, label: str, filled: bool) -> None:
    """One dot with its interval per row.

    Args:
        axes: where to draw.
        values: one interval per row, in the order of the rows.
        shift: vertical shift; see :func:`offset_of`.
        colour: of dots and intervals.
        label: for the legend.
        filled: hollow dots stand for real images.
    """
    heights = [row + shift for row in range(len(values))]
    for height, value in zip(heights, values, strict=True):
        axes.plot([value.low, value.high], [height, height], color=colour, linewidth=1.2, solid_capstyle="butt")
    face = colour if filled else "white"
    centres = [value.value for value in values]
    axes.plot(centres, heights, "o", color=colour, markerfacecolor=face, markersize=4, label=label)


def share_axis(axes: Axes, title: str, largest: float = 1.0) -> None:
    """A horizontal axis for shares, written in per cent.

    Args:
        axes: the panel.
        title: of the panel.
        largest: share that the axis has to hold; up to 0.6 it ends there, else at 1.
    """
    ticks = [0, 0.2, 0.4, 0.6] if largest <= 0.6 else [0, 0.25, 0.5, 0.75, 1.0]
    axes.set_xlim(-0.02 * ticks[-1], 1.02 * ticks[-1])
    axes.set_xticks(ticks, [*(f"{100 * tick:.0f}" for tick in ticks[:-1]), f"{100 * ticks[-1]:.0f} %"])
    axes.set_title(title)


def floor(axes: Axes, real: Interval) -> None:
    """The distance of real test images, across the panel, as a line in a band."""
    tint = REFERENCE_COLOURS[1]
    axes.axhspan(real.low, real.high, color=tint, alpha=0.25, linewidth=0, zorder=1)
    axes.axhline(real.value, color=tint, linewidth=1.2, zorder=1.5, label=REAL_TITLE)


def legend_below(figure: Figure, panels: Sequence[Axes], columns: int) -> None:
    """One legend for the whole figure, under its panels, in so many columns or as many as fit.

    Args:
        figure: a whole one.
        panels: those whose lines it names; what several show is named once, and real images last.
        columns: at most.
    """
    pairs = (zip(*axes.get_legend_handles_labels(), strict=True) for axes in panels)
    marks = {label: handle for handle, label in itertools.chain.from_iterable(pairs)}
    labels = sorted(marks, key=lambda label: label == REAL_TITLE)
    fitting = WIDTH_IN_LETTERS // (max(map(len, labels)) + MARK_IN_LETTERS)
    ncols = max(1, min(columns, fitting, len(labels)))
    figure.legend([marks[label] for label in labels], labels, loc="outside lower center", ncols=ncols)


def note(axes: Axes, text: str, at: tuple[float, float], towards: tuple[float, float]) -> None:
    """Write a remark of ours at ``at`` with a thin line to the data point ``towards``; both in data coordinates.

    Mathematics between dollar signs is set as such; nothing in ``text`` may come from the user.
    """
    arrow = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.8}
    axes.annotate(text, xy=towards, xytext=at, fontsize=8, color=INK, arrowprops=arrow, parse_math=True)
