"""From noise to a garment: the state of the chain and the model's guess of its end, every tenth of the way."""

from pathlib import Path

import numpy as np

from tasks.evidence import Evidence
from tasks.figures.style import WIDTH, Pixels, blank, label_columns, label_rows, montage, save_picture, show
from tasks.files import read_arrays
from tasks.labels import CLASS_NAMES, NUM_CLASSES
from tasks.paths import artifact

CELL = 30
NAMES, HEADING = 0.85, 0.5
"""Inches beside the pictures for the names of their rows, and above them."""


def draw_reverse(evidence: Evidence, folder: Path) -> None:
    """One figure a variant, ``reverse_<variant>.png``: left the noisy image, right the guess of the clean one."""
    for variant in evidence.variants:
        path = read_arrays(artifact(variant.name, "trajectories.npz"))
        _draw(path["images"], path["x0"], path["done"], path["labels"], folder / f"reverse_{variant.name}")


def _draw(states: Pixels, guesses: Pixels, done: Pixels, labels: Pixels, target: Path) -> None:
    chosen = first_by_class(labels)
    width = (WIDTH - NAMES) / 2
    figure = blank(HEADING + width * min(1.0, len(chosen) / len(done)))
    panels = figure.subplots(1, 2)
    for axes, images, title in zip(panels, (states, guesses), ("Noisy image", "Guess of the result"), strict=True):
        show(axes, montage(images[:, chosen].swapaxes(0, 1)))
        label_columns(axes, [f"{100 * share:.0f}" for share in done], CELL)
        axes.set_title(title, pad=17)
    label_rows(panels[0], [CLASS_NAMES[labels[index]] for index in chosen], CELL)
    save_picture(figure, target.parent, target.name)


def first_by_class(labels: Pixels) -> list[int]:
    """Position of the first image of each class that occurs, in the order of the classes."""
    return [int(np.flatnonzero(labels == label)[0]) for label in range(NUM_CLASSES) if (labels == label).any()]
