"""Losses against images trained on and against the noise level, a panel a training: their scales cannot be compared."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from models.spec import EdmSpec
from tasks.evidence import Evidence, VariantEvidence
from tasks.figures.panels import colours_of, pages_of_panels
from tasks.figures.style import MUTED, logarithmic, save_plot
from tasks.files import read_table
from tasks.paths import artifact


def draw_losses(evidence: Evidence, folder: Path) -> None:
    """Training and validation loss by images trained on.

    Writes ``losses-<k>.svg`` and ``losses-<k>.png``. Both axes are logarithmic, since most of the fall is early.
    """
    tints = colours_of(evidence.variants)
    for page in pages_of_panels(evidence.trained(), "losses", 2.7):
        for axes, variant in page.panels:
            _curves(axes, variant, tints[variant.name])
            axes.set_xlabel("images trained on")
        page.first.set_ylabel("loss")
        save_plot(page.figure, folder, page.name)


def _curves(axes: Axes, variant: VariantEvidence, tint: str) -> None:
    history = read_table(artifact(variant.name, "history.csv"))
    validated = history.dropna(subset=["val_loss"])
    axes.plot(history["images"], history["train_loss"], color=tint, alpha=0.55, linewidth=1.1, label="training")
    style: dict[str, Any] = {
        "color": tint,
        "marker": "o",
        "markersize": 4,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }
    axes.plot(validated["images"], validated["val_loss"], **style, label="validation")
    logarithmic(axes, "x", minor=True)
    logarithmic(axes, "y", minor=True)
    axes.set_title(variant.spec.title)
    axes.legend(loc="upper right")


def draw_noise_levels(evidence: Evidence, folder: Path) -> None:
    """Validation loss by noise level after the first snapshot and at the end.

    Writes ``noise_levels-<k>.svg`` and ``noise_levels-<k>.png``.
    """
    tints = colours_of(evidence.variants)
    for page in pages_of_panels(evidence.trained(), "noise_levels", 2.5):
        for axes, variant in page.panels:
            _levels(axes, variant, tints[variant.name])
        page.first.set_ylabel("validation loss")
        save_plot(page.figure, folder, page.name)


def _levels(axes: Axes, variant: VariantEvidence, tint: str) -> None:
    levels = read_table(artifact(variant.name, "noise_levels.csv"))
    steps = sorted(levels["step"].unique())
    for step in dict.fromkeys((steps[0], steps[-1])):
        rows = levels[levels["step"] == step].sort_values("value")
        ink = tint if step == steps[-1] else MUTED
        axes.plot(rows["value"], rows["val_loss"], "o-", color=ink, markersize=3, label=f"after {step} steps")
    continuous = isinstance(variant.spec.process, EdmSpec)
    if continuous:
        logarithmic(axes, "x")
    axes.set_xlabel("noise level (sigma)" if continuous else "noise level (step t)")
    axes.set_ylim(bottom=0)
    axes.set_title(variant.spec.title)
    axes.legend()
