"""How many evaluations a model's images need, and by which sampler."""

from typing import Any

from models.intervals import Interval
from tasks.evidence import Evidence, Json, VariantEvidence
from tasks.report_tables import pipe_table
from tasks.wording import Markdown, count, escape, number_interval, percent


def sweep_text(evidence: Evidence) -> Markdown:
    """What each model's sweep says, a sentence or two a model."""
    return escape(" ".join(_sentence(variant) for variant in evidence.variants))


def sweep_table(evidence: Evidence) -> Markdown:
    """The best sampler at each number of evaluations, model by model."""
    header = ("Model", "Evaluations", "Best sampler", "FID", "Class accuracy")
    rows = [_row(variant, best) for variant in evidence.variants for best in best_by_count(variant)]
    return pipe_table(header, rows)


def best_by_count(variant: VariantEvidence) -> list[Json]:
    """Of the rows with equally many evaluations the one of the smallest distance, by rising number."""
    rows: list[dict[str, Any]] = sorted(variant.sweep["rows"], key=lambda row: (row["evaluations"], row["fid"]))
    first: dict[int, Json] = {}
    for row in rows:
        first.setdefault(int(row["evaluations"]), row)
    return list(first.values())


def cheapest_as_good(variant: VariantEvidence) -> tuple[Json, Json]:
    """The row of fewest evaluations that the critic does not tell from the smallest distance, and the row of that."""
    rows = best_by_count(variant)
    best = min(rows, key=lambda row: float(row["fid"]))
    return next(row for row in rows if row["behind_low"] <= 0.0), best


def _sentence(variant: VariantEvidence) -> str:
    cheap, best = cheapest_as_good(variant)
    title, images = variant.spec.title, count(variant.sweep["num_images"])
    found = f"The smallest FID of {title} over {images} images is {_distance(best)}, by {_sampler(best)}."
    if cheap is not best:
        behind = Interval(cheap["behind"], cheap["behind_low"], cheap["behind_high"])
        return f"{found} {_sampler(cheap)} cannot be told from it: {number_interval(behind)} more on the same seeds."
    fewer = [row for row in variant.sweep["rows"] if row["evaluations"] < best["evaluations"]]
    if not fewer:
        return f"{found} No smaller number was tried."
    return f"{found} With fewer it is larger, by more than other images would change."


def _sampler(row: Json) -> str:
    return f"{row['sampler']} with {row['evaluations']} evaluations"


def _distance(row: Json) -> str:
    return number_interval(Interval(row["fid"], row["fid_low"], row["fid_high"]))


def _row(variant: VariantEvidence, row: Json) -> tuple[object, ...]:
    return variant.spec.title, count(row["evaluations"]), row["sampler"], _distance(row), percent(row["accuracy"])
