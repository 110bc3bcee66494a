"""What the models make, beside what they were shown."""

from pathlib import Path

import numpy as np

from tasks.evidence import Evidence
from tasks.figures.style import Pixels, blank, entitle, label_rows, montage, save_picture, show
from tasks.files import read_arrays
from tasks.labels import CLASS_NAMES, NUM_CLASSES
from tasks.paths import artifact, split_file

COLUMNS = 24
"""Images across a page; shared by the blocks of one figure."""
BLOCKS = 2
"""Variants beside the real images in one figure."""
CELL = 30


def draw_samples(evidence: Evidence, folder: Path) -> list[str]:
    """Rows of one class each: the first samples of each variant, then real test images.

    Nothing is selected: the samples are the first by seed. Writes ``samples-<k>.png``, two variants a figure.

    Returns:
        The figures' names.
    """
    names = [(variant.name, variant.spec.title) for variant in evidence.variants]
    pages = [names[start : start + BLOCKS] for start in range(0, len(names), BLOCKS)]
    for number, page in enumerate(pages, start=1):
        _draw_page(page, folder, f"samples-{number}")
    return [f"samples-{number}" for number in range(1, len(pages) + 1)]


def _draw_page(page: list[tuple[str, str]], folder: Path, name: str) -> None:
    count = COLUMNS // (len(page) + 1)
    blocks = [(title, first_of_each_class(artifact(key, "samples.npz"), count)) for key, title in page]
    blocks.append(("Real test images", first_of_each_class(split_file("test"), count)))
    draw_blocks(blocks, folder, name)


def draw_blocks(blocks: list[tuple[str, Pixels]], folder: Path, name: str) -> None:
    """Draw several montages side by side, ten rows each, with one title above each.

    Args:
        blocks: title and images of shape (10, C, 28, 28).
        folder: where the figure goes.
        name: its file name, without the ending.
    """
    widths = [block.shape[1] for _, block in blocks]
    unit = 6.2 / (sum(widths) + len(widths) - 1)
    figure = blank(unit * NUM_CLASSES + 0.3)
    panels = figure.subplots(1, len(blocks), width_ratios=widths)
    for axes, (title, block) in zip(np.atleast_1d(panels), blocks, strict=True):
        show(axes, montage(block))
        entitle(axes, title, unit * block.shape[1])
    label_rows(np.atleast_1d(panels)[0], CLASS_NAMES, CELL)
    save_picture(figure, folder, name)


def first_of_each_class(path: Path, count: int) -> Pixels:
    """The first ``count`` images of every class of an npz file, shape (10, count, 28, 28); blank where there are fewer.

    Raises:
        MissingResourceError: there is no such file.
    """
    arrays = read_arrays(path)
    rows = np.zeros((NUM_CLASSES, count, *arrays["images"].shape[1:]), dtype=np.uint8)
    for label in range(NUM_CLASSES):
        found = arrays["images"][arrays["labels"] == label][:count]
        rows[label, : len(found)] = found
    return rows
