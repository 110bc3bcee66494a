"""How the share of images that the critic recognises grows along the reverse process."""

from pathlib import Path

from matplotlib.axes import Axes

from tasks.evidence import CLAIMED_STEPS, Evidence
from tasks.figures.panels import grid_of_panels
from tasks.figures.style import colour, save_plot
from tasks.files import read_table
from tasks.paths import table_file

"""Per cent of the steps after which the source says that garments become recognisable."""


def draw_recognition(evidence: Evidence, folder: Path) -> None:
    """Share recognised by share of the steps done, one panel a variant; the source's claim as a band.

    Reads ``recognition.csv``; writes ``recognition.svg`` and ``recognition.png``.
    """
    table = read_table(table_file("recognition"))
    figure, panels = grid_of_panels(len(evidence.variants), 2, 2.5)
    for index, (axes, variant) in enumerate(zip(panels, evidence.variants, strict=True)):
        rows = table[(table["variant"] == variant.name) & (table["along"] == "reverse")]
        shares = 100 * rows.groupby("position")[["noisy", "guess"]].mean()
        axes.axvspan(
            *(100 * share for share in CLAIMED_STEPS), color="#fdf3d7", zorder=0, label="claimed by the source"
        )
        axes.plot(100 * shares.index, shares["guess"], "o-", color=colour(index), label="guess of the result")
        axes.plot(100 * shares.index, shares["noisy"], "o:", color=colour(index), alpha=0.6, label="noisy image")
        _finish(axes, variant.spec.title)
    panels[0].set_ylabel("recognised (%)")
    panels[0].legend(loc="upper left")
    save_plot(figure, folder, "recognition")


def _finish(axes: Axes, title: str) -> None:
    axes.set_ylim(-4, 104)
    axes.set_xlabel("reverse steps done (%)")
    axes.set_title(title)
