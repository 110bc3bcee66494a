"""What the report says of copies of training images."""

from models.intervals import Interval, wilson
from tasks.comparisons import difference, joint_confidence
from tasks.evidence import Evidence, Json, Judged, interval
from tasks.report_tables import name_of, pipe_table
from tasks.wording import Markdown, count, escape, listed, number, percent_interval


def memorisation_table(evidence: Evidence) -> Markdown:
    """Share of copies and distance to the training images, a row for each variant and for real test images."""
    header = ("Images", "n", "Copies", "Identical", "Distance to the nearest")
    real = evidence.real()
    measured = [row for row in evidence.rows() if row.measured]
    blocks = [variant.evaluate["memorisation"] for variant in evidence.variants]
    rows = [_row(row, block) for row, block in zip(measured, blocks, strict=True)]
    return pipe_table(header, [*rows, _row(real, evidence.references["memorisation"])])


def memorisation_text(evidence: Evidence, confidence: float) -> Markdown:
    """Whether a variant makes more copies than real test images are taken for.

    Args:
        evidence: what the build measured.
        confidence: that no innocent variant is named.
    """
    joint = joint_confidence(len(evidence.variants), confidence)
    real = _copies(evidence.references, joint)
    suspects = [it.spec.title for it in evidence.variants if difference(_copies(it.evaluate, joint), real).low > 0]
    if suspects:
        return escape(f"More copies than among real test images: {listed(suspects)}.")
    return escape("No model has resolvably more copies than there are among real test images.")


def _copies(judged: Json, confidence: float) -> Interval:
    """The share of copies among images that were judged, with an interval of this confidence."""
    images = judged["num_images"]
    return wilson(round(judged["memorisation"]["copies"]["value"] * images), images, confidence)


def _row(row: Judged, block: Json) -> tuple[object, ...]:
    share = percent_interval(interval(block["copies"]))
    return name_of(row), count(row.critic["num_images"]), share, count(block["identical"]), number(block["distance"])
