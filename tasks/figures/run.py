"""Draw every figure and write every table of the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.evidence import Evidence, read_evidence
from tasks.figures.clip import draw_clip_classes, draw_clip_gallery, draw_clip_overall
from tasks.figures.comparisons import COMPARISONS, write_comparisons
from tasks.figures.critic import draw_confusion, draw_critic_classes, draw_critic_overall
from tasks.figures.forward import draw_forward
from tasks.figures.guidance import draw_guidance
from tasks.figures.losses import draw_losses, draw_noise_levels
from tasks.figures.progress import draw_progress
from tasks.figures.recognition import draw_recognition
from tasks.figures.reverse import draw_reverse
from tasks.figures.samples import draw_samples
from tasks.figures.schedule import draw_schedule
from tasks.figures.side_by_side import draw_side_by_side
from tasks.figures.style import theme
from tasks.figures.sweep import draw_sweep
from tasks.figures.tables import TABLES, write_tables
from tasks.files import folder_written_atomically
from tasks.params import Evaluate
from tasks.paths import FIGURES
from tasks.variants import Variant

PLAIN = (
    draw_schedule,
    draw_losses,
    draw_noise_levels,
    draw_samples,
    draw_progress,
    draw_reverse,
    draw_recognition,
    draw_clip_classes,
    draw_clip_overall,
    draw_clip_gallery,
    draw_critic_classes,
    draw_critic_overall,
    draw_confusion,
    draw_sweep,
    draw_guidance,
    draw_side_by_side,
)
"""Figures that need the measurements alone."""


def run_figures(variants: Mapping[str, Variant], evaluate: Evaluate, seed: int) -> dict[str, Any]:
    """Fill ``reports/figures`` and write the comparison tables under ``reports/tables``.

    Args:
        variants: the build's variants by name.
        evaluate: how the intervals of the comparisons are computed.
        seed: the user's seed.

    Returns:
        How many figures and tables were written.

    Raises:
        MissingResourceError: a stage has not run.
        IntegrityError: a file is damaged.
    """
    evidence = read_evidence(variants)
    write_tables(evidence)
    write_comparisons(list(variants), evaluate, seed)
    with folder_written_atomically(FIGURES) as folder, theme():
        draw_all(evidence, folder, seed)
    return {"figures": len({path.stem for path in FIGURES.iterdir()}), "tables": len(TABLES) + len(COMPARISONS)}


def draw_all(evidence: Evidence, folder: Path, seed: int) -> None:
    """Draw every figure into a folder; the look must be active."""
    draw_forward(evidence, folder, seed)
    for draw in PLAIN:
        draw(evidence, folder)


figures_task = task(name="figures", cache_policy=NO_CACHE)(run_figures)
