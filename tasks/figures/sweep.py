"""Quality against the number of evaluations, one panel a variant and one line a sampler."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from tasks.evidence import Evidence, Json, VariantEvidence, interval_beside
from tasks.figures.panels import floor, legend_below, pages_of_panels
from tasks.figures.style import INK, colour, line, logarithmic, save_plot

HEIGHT = 2.7
"""Inches of a row of panels."""
WIDE = 8.0
"""Ratio between the largest and the smallest distance from which their axis is logarithmic."""
APART = 1.3
"""Ratio of two numbers of evaluations that are both written on their axis."""


def draw_sweep(evidence: Evidence, folder: Path) -> None:
    """FID by evaluations and sampler, with intervals, above that of as many real images.

    A sampler looks alike in all panels; a ring marks how the variant is sampled. Writes ``sweep-<k>.svg`` and
    ``sweep-<k>.png``.
    """
    samplers = list(dict.fromkeys(name for variant in evidence.variants for name in _samplers(variant)))
    for page in pages_of_panels(evidence.variants, "sweep", HEIGHT):
        for axes, variant in page.panels:
            _lines(axes, variant, samplers)
            floor(axes, interval_beside(variant.sweep["real"], "fid"))
            _finish(axes, variant)
        page.first.set_ylabel("FID")
        legend_below(page.figure, [axes for axes, _ in page.panels], 4)
        save_plot(page.figure, folder, page.name)


def _samplers(variant: VariantEvidence) -> list[str]:
    return list(dict.fromkeys(str(row["sampler"]) for row in variant.sweep["rows"]))


def _lines(axes: Axes, variant: VariantEvidence, samplers: list[str]) -> None:
    rows: list[Json] = sorted(variant.sweep["rows"], key=lambda row: int(row["evaluations"]))
    names = _samplers(variant)
    for place, name in enumerate(names):
        index = samplers.index(name)
        mine = [row for row in rows if row["sampler"] == name]
        middles = [row["fid"] for row in mine]
        reach = [[row["fid"] - row["fid_low"] for row in mine], [row["fid_high"] - row["fid"] for row in mine]]
        style: dict[str, Any] = {"color": colour(index), "linestyle": line(index), "linewidth": 1.4}
        looks = [row["evaluations"] * 1.02 ** (place - len(names) / 2) for row in mine]  # side by side, not on top
        axes.errorbar(looks, middles, yerr=reach, marker="o", markersize=3.5, capsize=2, label=name, **style)
        own = [i for i, row in enumerate(mine) if _is_chosen(row, variant)]
        axes.plot([looks[i] for i in own], [middles[i] for i in own], "o", mfc="none", mec=INK, markersize=10)


def tick_labels(numbers: Sequence[int]) -> list[str]:
    """Rising numbers as they are written on a logarithmic axis; empty where one would touch the last one written."""
    labels, last = [], 0
    for number in numbers:
        written = number >= APART * last
        labels.append(str(number) if written else "")
        last = number if written else last
    return labels


def _is_chosen(row: Json, variant: VariantEvidence) -> bool:
    return row is variant.sweep["rows"][0]


def _finish(axes: Axes, variant: VariantEvidence) -> None:
    logarithmic(axes, "x")
    distances = [float(row["fid"]) for row in [*variant.sweep["rows"], variant.sweep["real"]]]
    if max(distances) > WIDE * max(min(distances), 1e-9):
        logarithmic(axes, "y", minor=True)
    budgets = sorted({int(row["budget"]) for row in variant.sweep["rows"]})
    axes.set_xticks(budgets, tick_labels(budgets))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("evaluations of the network per image")
    axes.set_title(variant.spec.title)
