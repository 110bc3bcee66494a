"""What CLIP says: scores per class and overall, and the images it likes best and least."""

from pathlib import Path

import numpy as np

from tasks.evidence import Evidence, Judged, VariantEvidence, interval
from tasks.figures.panels import dots, grid_of_panels, legend_below, name_rows, offset_of, share_axis
from tasks.figures.style import REFERENCE_COLOURS, blank, colour, save_picture, save_plot, show
from tasks.files import read_arrays, read_table
from tasks.labels import CLASS_NAMES, CLASS_SLUGS
from tasks.paths import artifact
from tasks.wording import signed

PROMPTS = ("good", "clear", "blurry")
TITLES = {"good": "A good example", "clear": "A clear picture", "blurry": "A blurry picture"}
SHOWN = 12


def tint(rows: list[Judged], row: Judged) -> str:
    """The colour of a row: its own for a variant, a grey for real images."""
    position = [other.key for other in rows if other.measured == row.measured].index(row.key)
    return colour(position) if row.measured else REFERENCE_COLOURS[position % len(REFERENCE_COLOURS)]


def draw_clip_classes(evidence: Evidence, folder: Path) -> None:
    """Mean share of each prompt by class, with intervals: every variant beside real images.

    Writes ``clip_classes.svg`` and ``clip_classes.png``.
    """
    rows = [row for row in evidence.rows() if row.measured or row.key == "real"]
    figure, panels = grid_of_panels(len(PROMPTS), len(PROMPTS), 3.6)
    for axes, prompt in zip(panels, PROMPTS, strict=True):
        name_rows(axes, CLASS_NAMES, labelled=axes is panels[0])
        for index, row in enumerate(rows):
            values = [interval(row.clip["per_class"][slug][prompt]) for slug in CLASS_SLUGS]
            dots(axes, values, offset_of(index, len(rows)), tint(rows, row), row.title, row.measured)
        share_axis(axes, TITLES[prompt], _largest(rows, prompt))
    legend_below(figure, panels[:1], 4)
    save_plot(figure, folder, "clip_classes")


def _largest(rows: list[Judged], prompt: str) -> float:
    return max(interval(row.clip["per_class"][slug][prompt]).high for row in rows for slug in CLASS_SLUGS)


def draw_clip_overall(evidence: Evidence, folder: Path) -> None:
    """Mean share of each prompt for every variant and every reference row.

    Writes ``clip_overall.svg`` and ``clip_overall.png``.
    """
    rows = evidence.rows()
    figure, panels = grid_of_panels(len(PROMPTS), len(PROMPTS), 0.7 + 0.24 * len(rows))
    for axes, prompt in zip(panels, PROMPTS, strict=True):
        name_rows(axes, [row.title for row in rows], labelled=axes is panels[0])
        for index, row in enumerate(rows):
            dots(axes, [interval(row.clip[prompt])], index, tint(rows, row), row.title, row.measured)
        share_axis(axes, TITLES[prompt], max(interval(row.clip[prompt]).high for row in rows))
    save_plot(figure, folder, "clip_overall")


def draw_clip_gallery(evidence: Evidence, folder: Path) -> None:
    """The twelve images of each variant with the highest and the lowest good + clear - blurry.

    Writes ``clip_gallery_<variant>.png``; under each image stand its class and that sum.
    """
    for variant in evidence.variants:
        _gallery(variant, folder)


def _gallery(variant: VariantEvidence, folder: Path) -> None:
    images = read_arrays(artifact(variant.name, "samples.npz"))["images"]
    scores = read_table(artifact(variant.name, "scores.csv")).set_index("index")
    ranked = scores["good"] + scores["clear"] - scores["blurry"]
    figure = blank(2.35)
    cells = figure.subplots(2, SHOWN)
    for line, end in zip(cells, ("best", "worst"), strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, index in zip(line, variant.score[end][:SHOWN], strict=False):
            show(axes, np.asarray(255 - images[index]))
            name = CLASS_NAMES[scores.loc[index, "label"]]
            place = {"ha": "center", "va": "top", "transform": axes.transAxes}
            axes.text(0.5, -0.06, f"{name}\n{signed(f'{ranked[index]:+.2f}')}", fontsize=6.2, **place)
        line[0].set_title("Highest" if end == "best" else "Lowest")
    save_picture(figure, folder, f"clip_gallery_{variant.name}")
