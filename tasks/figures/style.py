"""One look for all figures, and one way to draw and save them: no global pyplot state, the same bytes every time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

Pixels = np.ndarray[Any, Any]
INK, MUTED, GRID, BAND = "#22272e", "#6b7280", "#e5e7eb", "#f6f7f9"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's palette (2008), told apart with any common colour vision; the strongest contrasts come first."""
LINES = ("-", "--", "-.", ":")
REFERENCE_COLOURS = ("#374151", "#858c98", "#aab0ba", "#cfd4dc")
PRINT_DPI = 200
MOST_NUMBERED = 100.0
"""Ratio of the ends of a logarithmic axis beyond which only its powers of ten are numbered."""
FEW_TIMES = 5.0
"""Ratio of its ends below which all ticks are numbered, for there are few."""
WIDTH = 7.0
"""Inches between the margins of a page."""
LETTER = 0.088
"""Inches that a letter of a panel's title is wide, on average."""
THEME: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "text.parse_math": False,  # titles come from the user: "$\frac$" must be shown, not parsed
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "fashion-diffusion",
    "svg.fonttype": "path",
}


@contextmanager
def theme() -> Iterator[None]:
    """Draw in the common look inside the block; the caller's settings come back after it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for key, value in THEME.items():
            mpl.rcParams[key] = value  # type: ignore[index]
        yield


def blank(height: float, width: float = WIDTH) -> Figure:
    """An empty figure; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_picture(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure made of images as ``name.png``."""
    figure.savefig(folder / f"{name}.png", dpi=PRINT_DPI, metadata={"Software": None})


def save_plot(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure made of lines as ``name.svg``, and as PNG for formats that cannot hold SVG."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it is laid out; saving would do it again for each format
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    save_picture(figure, folder, name)


def colour(index: int) -> str:
    """The colour of the variant at a position; it repeats after seven, where the line style changes."""
    return COLOURS[index % len(COLOURS)]


def line(index: int) -> str:
    """The line style of the variant at a position, so that printing in grey loses nothing."""
    return LINES[index % len(LINES)]


def plain_number(value: float, _position: int | None = None) -> str:
    """A tick label without mathematics: 0.001, 5, 20k, 3M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def logarithmic(axes: Axes, which: str, minor: bool = False) -> None:
    """Make an axis logarithmic, with plain numbers on its ticks.

    Args:
        axes: the panel.
        which: ``x`` or ``y``.
        minor: also number ticks between powers of ten, as long as the axis spans no more than two of them.
    """
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(plain_number))
    axis.set_minor_formatter(FuncFormatter(partial(_few_digits, axis)) if minor else NullFormatter())
    axes.tick_params(axis=which, which="minor", labelsize=6.5)  # type: ignore[arg-type]


def _few_digits(axis: Axis, value: float, position: int | None = None) -> str:
    low, high = axis.get_view_interval()
    crowded = high > MOST_NUMBERED * low
    digits = "2345678" if high < FEW_TIMES * low else "235"
    return plain_number(value, position) if not crowded and f"{value:e}"[0] in digits else ""


def entitle(axes: Axes, title: str, width: float, pad: float | None = None) -> None:
    """Write a panel's title in as many lines as it takes to end where the panel does.

    Args:
        axes: the panel.
        title: as the user wrote it.
        width: of the panel, in inches.
        pad: points between the panel and the title; None for the usual ones.
    """
    axes.set_title(fill(title, max(1, int(width / LETTER))), pad=pad)


def montage(images: Pixels, gap: int = 2) -> Pixels:
    """Lay images out as one picture on a white ground, garments dark as in print.

    Args:
        images: grey levels, shape (R, C, H, W).
        gap: white pixels between neighbours.

    Returns:
        uint8 picture, shape (R * (H + gap) - gap, C * (W + gap) - gap).
    """
    rows, columns, height, width = images.shape
    canvas = np.full((rows, height + gap, columns, width + gap), 255, dtype=np.uint8)
    canvas[:, :height, :, :width] = 255 - images.transpose(0, 2, 1, 3)
    flat = canvas.reshape(rows * (height + gap), columns * (width + gap))
    return flat[: flat.shape[0] - gap, : flat.shape[1] - gap]


def show(axes: Axes, picture: Pixels) -> None:
    """Fill the axes with a grey picture, pixel for pixel, without ticks or frame."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="equal")
    axes.set_axis_off()


def label_rows(axes: Axes, labels: Sequence[str], step: int, size: int = 28) -> None:
    """Write one label to the left of each row of a montage whose rows are ``step`` pixels apart."""
    for index, label in enumerate(labels):
        axes.text(-4, index * step + size / 2, label, ha="right", va="center", fontsize=8)


def label_columns(axes: Axes, labels: Sequence[str], step: int, size: int = 28) -> None:
    """Write one label above each column of a montage whose columns are ``step`` pixels apart."""
    for index, label in enumerate(labels):
        axes.text(index * step + size / 2 - 0.5, -4, label, ha="center", va="bottom", fontsize=8)
