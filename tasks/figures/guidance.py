"""Quality against variety under guidance, one panel a variant and one line a guide."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from tasks.evidence import Evidence, Json, VariantEvidence
from tasks.figures.panels import REAL_TITLE, legend_below, pages_of_panels
from tasks.figures.style import INK, REFERENCE_COLOURS, colour, line, save_plot

REAL = REFERENCE_COLOURS[1]
NAME_PLACES = ((6, -9), (6, 5), (-28, -9))
"""Where each guide's strongest scale is written, in points from its dot: apart where the dots lie together."""


def draw_guidance(evidence: Evidence, folder: Path) -> None:
    """Class accuracy by recall, from no guidance on along rising scales, and where real images lie.

    Writes ``guidance-<k>.svg`` and ``guidance-<k>.png``; none where no model was guided.
    """
    led = [variant for variant in evidence.variants if variant.guided]
    guides = list(dict.fromkeys(str(row["guide"]) for variant in led for row in variant.guided))
    for page in pages_of_panels(led, "guidance", 2.9):
        for axes, variant in page.panels:
            _panel(axes, variant, guides)
        page.first.set_ylabel("class accuracy")
        legend_below(page.figure, [axes for axes, _ in page.panels], 5)
        save_plot(page.figure, folder, page.name)


def _panel(axes: Axes, variant: VariantEvidence, guides: list[str]) -> None:
    _lines(axes, variant, guides)
    real = variant.sweep["real"]
    axes.plot([real["recall"]], [real["accuracy"]], "*", color=REAL, markersize=9, label=REAL_TITLE)
    axes.set_xlabel("recall: share of the variety reached")
    axes.set_title(variant.spec.title)
    axes.margins(0.12)


def _lines(axes: Axes, variant: VariantEvidence, guides: list[str]) -> None:
    """A line a guide, which has the same colour and dashes in every panel.

    Bars across are those of the difference from the recall without guidance, which itself has none.
    """
    plain, led = variant.unguided, variant.guided
    for index, name in enumerate(guides):
        rows = [plain, *(row for row in led if row["guide"] == name)]
        if len(rows) == 1:
            continue
        where = [row["recall"] for row in rows]
        accuracies = [row["accuracy"] for row in rows]
        across, reach = _reach(rows, "recall_gain"), _reach(rows, "accuracy")
        tint = colour(index)
        style: dict[str, Any] = {
            "color": tint,
            "linestyle": line(index),
            "marker": "o",
            "markersize": 3.5,
            "linewidth": 1.4,
        }
        axes.errorbar(where, accuracies, xerr=across, yerr=reach, capsize=2, elinewidth=0.7, label=name, **style)
        _name_scale(axes, rows[-1], tint, NAME_PLACES[index % len(NAME_PLACES)])
    axes.plot([plain["recall"]], [plain["accuracy"]], "o", mfc="none", mec=INK, markersize=10, label="no guidance")


def _reach(rows: list[Json], figure: str) -> list[list[float]]:
    """How far the ends of a figure's interval lie from it: the lower ends, then the upper."""
    return [[abs(row[figure] - row[f"{figure}_{end}"]) for row in rows] for end in ("low", "high")]


def _name_scale(axes: Axes, row: Json, tint: str, aside: tuple[int, int]) -> None:
    """Write the strongest scale beside its dot."""
    place = (row["recall"], row["accuracy"])
    axes.annotate(f"g = {row['scale']:g}", place, textcoords="offset points", xytext=aside, color=tint, fontsize=7)
