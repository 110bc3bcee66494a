"""How the share of images that the critic recognises grows along the reverse process."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from tasks.evidence import CLAIMED_STEPS, Evidence
from tasks.figures.panels import colours_of, pages_of_panels
from tasks.figures.style import save_plot
from tasks.files import read_table
from tasks.paths import table_file


def draw_recognition(evidence: Evidence, folder: Path) -> None:
    """Share recognised by share of the steps done, one panel a variant; the source's claim as a band.

    Reads ``recognition.csv``; writes ``recognition-<k>.svg`` and ``recognition-<k>.png``.
    """
    table = read_table(table_file("recognition"))
    tints = colours_of(evidence.variants)
    for page in pages_of_panels(evidence.variants, "recognition", 2.5):
        for axes, variant in page.panels:
            rows = table[(table["variant"] == variant.name) & (table["along"] == "reverse")]
            _shares(axes, 100 * rows.groupby("position")[["noisy", "guess"]].mean(), tints[variant.name])
            _finish(axes, variant.spec.title)
        page.first.set_ylabel("recognised (%)")
        page.first.legend(loc="upper left")
        save_plot(page.figure, folder, page.name)


def _shares(axes: Axes, shares: pd.DataFrame, tint: str) -> None:
    """Per cent recognised by share of the steps done, above the band of the claim."""
    claimed = (100 * share for share in CLAIMED_STEPS)
    axes.axvspan(*claimed, color="#fdf3d7", zorder=0, label="claimed by the source")
    axes.plot(100 * shares.index, shares["guess"], "o-", color=tint, label="guess of the result")
    axes.plot(100 * shares.index, shares["noisy"], "o:", color=tint, alpha=0.6, label="noisy image")


def _finish(axes: Axes, title: str) -> None:
    axes.set_ylim(-4, 104)
    axes.set_xlabel("reverse steps done (%)")
    axes.set_title(title)
