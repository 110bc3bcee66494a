"""FID against seconds of training, a line a contender, in the look of the report."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.outcomes import Outcome, Quality
from tasks.figures.panels import legend_below
from tasks.figures.style import REFERENCE_COLOURS, blank, colour, line, logarithmic, save_picture, theme


def draw_results(outcomes: Sequence[Outcome], real: Quality, folder: Path) -> None:
    """Write ``results.png``: lines through the checks, and a grey one for real test images, in their intervals."""
    with theme():
        figure = blank(3.8)
        axes = figure.subplots()
        for index, outcome in enumerate(outcomes):
            seconds, fids = zip(*((check.seconds, check.quality.fid) for check in outcome.checks), strict=True)
            tint = colour(index)
            axes.fill_between(
                seconds, [f.low for f in fids], [f.high for f in fids], color=tint, alpha=0.2, linewidth=0
            )
            axes.plot(
                seconds, [f.value for f in fids], color=tint, linestyle=line(index), marker="o", label=outcome.name
            )
        floor = REFERENCE_COLOURS[1]
        axes.axhspan(real.fid.low, real.fid.high, color=floor, alpha=0.25, linewidth=0, zorder=1)
        axes.axhline(real.fid.value, color=floor, linewidth=1.2, zorder=1.5, label="real test images")
        logarithmic(axes, "x", minor=True)
        logarithmic(axes, "y", minor=True)
        axes.set(xlabel="seconds of training", ylabel="FID")
        legend_below(figure, axes, len(outcomes) + 1)
        save_picture(figure, folder, "results")
