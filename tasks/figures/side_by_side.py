"""FID against seconds of training, a line a contender of the last side-by-side run."""

from pathlib import Path

from matplotlib.figure import Figure

from tasks.evidence import Evidence, Json, interval
from tasks.figures.panels import floor, legend_below
from tasks.figures.style import blank, colour, line, logarithmic, save_plot
from tasks.side_by_side import side_by_side


def draw_side_by_side(evidence: Evidence, folder: Path) -> None:
    """Write ``side_by_side.svg`` and ``.png``, where there is a comparison to tell of.

    Raises:
        IntegrityError: its file is damaged, or of another version.
    """
    if found := side_by_side(evidence):
        save_plot(time_to_quality(found), folder, "side_by_side")


def time_to_quality(found: Json) -> Figure:
    """Lines through the looks at each contender, and a grey one for real test images, in their intervals.

    Args:
        found: what the run measured; see :mod:`tasks.side_by_side`.
    """
    figure = blank(3.8)
    axes = figure.subplots()
    for index, row in enumerate(found["rows"]):
        seconds = [look["seconds"] for look in row["looks"]]
        fids = [interval(look["fid"]) for look in row["looks"]]
        tint = colour(index)
        axes.fill_between(seconds, [f.low for f in fids], [f.high for f in fids], color=tint, alpha=0.2, linewidth=0)
        axes.plot(seconds, [f.value for f in fids], color=tint, linestyle=line(index), marker="o", label=row["name"])
    floor(axes, interval(found["real"]))
    logarithmic(axes, "x", minor=True)
    logarithmic(axes, "y", minor=True)
    axes.set(xlabel="seconds of training", ylabel="FID")
    legend_below(figure, [axes], len(found["rows"]) + 1)
    return figure
