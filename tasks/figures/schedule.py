"""How fast each process destroys its images, and what is left where sampling assumes that nothing is."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from models.sampler_spec import SigmaSamplerSpec
from models.schedule import TerminalAudit, build_schedule
from models.sigma_levels import sigma_grid
from models.spec import DdpmSpec, EdmSpec
from tasks.evidence import Evidence
from tasks.figures.forward import distinct_scales
from tasks.figures.panels import legend_below, note
from tasks.figures.style import MUTED, Pixels, blank, colour, line, logarithmic, save_plot
from tasks.noise_left import GONE, audit_of
from tasks.variants import Variant

NOTED_AT = (2, 0.1)
"""Where the remark on what a schedule leaves begins: few curves come so low so soon, so this corner is free."""


def draw_schedule(evidence: Evidence, folder: Path) -> None:
    """Left the amplitude of the signal that is left, right the signal-to-noise ratio.

    Writes ``schedule.svg`` and ``schedule.png``.
    """
    figure = blank(3.2)
    left, right = figure.subplots(1, 2)
    for index, (title, spec) in enumerate(distinct_scales(evidence)):
        share, snr = ratio_along(spec)
        style = {"color": colour(index), "linestyle": line(index), "label": title}
        left.plot(100 * share, np.sqrt(snr / (1 + snr)), **style)
        right.plot(100 * share, snr, **style)
        if isinstance(spec.process, DdpmSpec):
            _call_out(left, audit_of(spec.process, evidence.prepare["pixel_mean"]))
    _finish(left, right)
    legend_below(figure, [right], 3)
    save_plot(figure, folder, "schedule")


def ratio_along(spec: Variant) -> tuple[Pixels, Pixels]:
    """Signal-to-noise ratio along a variant's noise scale, for data scaled to unit variance.

    Returns:
        Share of the scale, 0 to 1, and the ratio: abar / (1 - abar), or (sigma_data / sigma)^2.
    """
    process, sampling = spec.process, spec.sampling
    if isinstance(process, DdpmSpec):
        abar = build_schedule(process).abar.numpy()
        return np.arange(1, len(abar) + 1) / len(abar), abar / (1 - abar)
    assert isinstance(process, EdmSpec)
    assert isinstance(sampling, SigmaSamplerSpec)
    sigma = np.array(sigma_grid(100, sampling.sigma_min, sampling.sigma_max, sampling.rho)[-2::-1])
    return np.linspace(0, 1, len(sigma)), (process.sigma_data / sigma) ** 2


def _call_out(axes: Axes, left_over: TerminalAudit) -> None:
    axes.plot([100], [left_over.amplitude], "o", color=MUTED, markersize=4, zorder=5)
    if left_over.amplitude >= GONE:
        share = rf"$\bar{{\alpha}}_T$ = {left_over.abar:.3f}"
        text = f"{100 * left_over.amplitude:.0f} % of the\namplitude left\n({share})"
        note(axes, text, NOTED_AT, (100, left_over.amplitude))


def _finish(left: Axes, right: Axes) -> None:
    for axes in (left, right):
        axes.set_xlabel("share of the noise scale (%)")
    left.axhline(0, color=MUTED, linewidth=1, linestyle=":")
    left.text(0, -0.075, "what sampling from N(0, I) assumes at 100 %", fontsize=7.5, color=MUTED)
    left.set_ylim(-0.11, 1.05)
    left.set_title("Signal amplitude left")
    logarithmic(right, "y")
    right.axhline(1, color=MUTED, linewidth=0.8, linestyle=":")
    right.set_title("Signal-to-noise ratio")
