"""What the report says of copies of training images."""

from models.intervals import Interval
from tasks.comparisons import difference
from tasks.evidence import Evidence, Json, Judged, VariantEvidence, interval
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


def memorisation_text(evidence: Evidence) -> Markdown:
    """Whether a variant makes more copies than real test images are taken for."""
    real = interval(evidence.references["memorisation"]["copies"])
    suspects = [variant.spec.title for variant in evidence.variants if difference(_copies(variant), real).low > 0]
    if suspects:
        return escape(f"More copies than among real test images: {listed(suspects)}.")
    return escape("No model has resolvably more copies than there are among real test images.")


def _copies(variant: VariantEvidence) -> Interval:
    return interval(variant.evaluate["memorisation"]["copies"])


def _row(row: Judged, block: Json) -> tuple[object, ...]:
    share = percent_interval(interval(block["copies"]))
    return name_of(row), count(row.critic["num_images"]), share, count(block["identical"]), number(block["distance"])
