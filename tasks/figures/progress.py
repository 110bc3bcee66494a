"""The same noise and the same labels through a model that learns: what more training changes, and nothing else."""

from pathlib import Path

from matplotlib.axes import Axes

from tasks.evidence import Evidence, VariantEvidence
from tasks.figures.reverse import first_by_class
from tasks.figures.style import blank, entitle, label_columns, label_rows, montage, save_picture, show
from tasks.files import read_arrays
from tasks.labels import CLASS_NAMES
from tasks.paths import artifact

CELL = 30
BLOCKS = 2
"""Variants beside each other in one figure."""
PANEL_WIDTH = 2.9
"""Inches of one of them."""


def draw_progress(evidence: Evidence, folder: Path) -> list[str]:
    """Sample grids through training, ``progress-<k>.png``, two variants a figure.

    Returns:
        The figures' names.
    """
    variants = evidence.variants
    pages = [variants[start : start + BLOCKS] for start in range(0, len(variants), BLOCKS)]
    for number, page in enumerate(pages, start=1):
        figure = blank(5.4)
        panels = figure.subplots(1, BLOCKS, squeeze=False)[0]
        for index, axes in enumerate(panels):
            axes.set_axis_off()
            if index < len(page):
                _draw(axes, page[index], labelled=index == 0)
        save_picture(figure, folder, f"progress-{number}")
    return [f"progress-{number}" for number in range(1, len(pages) + 1)]


def _draw(axes: Axes, variant: VariantEvidence, labelled: bool) -> None:
    arrays = read_arrays(artifact(variant.name, "progress.npz"))
    chosen = first_by_class(arrays["labels"])
    show(axes, montage(arrays["images"][:, chosen].swapaxes(0, 1)))
    label_columns(axes, [str(step) for step in arrays["steps"]], CELL)
    entitle(axes, variant.spec.title, PANEL_WIDTH, pad=17)
    if labelled:
        label_rows(axes, [CLASS_NAMES[arrays["labels"][index]] for index in chosen], CELL)
