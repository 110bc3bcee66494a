"""How many evaluations a model's images need, and by which sampler."""

from models.intervals import Interval
from tasks.comparisons import excludes_zero
from tasks.evidence import Evidence, Json, VariantEvidence, interval_beside
from tasks.report_tables import pipe_table
from tasks.sampler_names import PRIOR_FIRST
from tasks.wording import Markdown, count, escape, evaluations_text, number_interval, percent_interval, told

NOT_MADE = "\u2013"
"""Stands in the cells of a row that no sampler made."""


def sweep_text(evidence: Evidence) -> Markdown:
    """What the sweeps say: what real images reach, and then a few sentences a model."""
    return Markdown(
        f"{escape(_floor(evidence))} {told([*map(_sentences, evidence.variants)])}{escape(_late(evidence))}"
    )


def sweep_table(evidence: Evidence) -> Markdown:
    """The best sampler at each budget, model by model, and under them as many real test images."""
    header = ("Images", "Budget", "Taken", "Best sampler", "FID", "Class accuracy")
    rows = [_row(variant, best) for variant in evidence.variants for best in best_by_budget(variant)]
    real = "Real test images", NOT_MADE, NOT_MADE, NOT_MADE, *_figures(_real(evidence))
    return pipe_table(header, [*rows, real])


def best_by_budget(variant: VariantEvidence) -> list[Json]:
    """Of the rows that take no more evaluations than a budget the one of the smallest distance, by rising budget."""
    rows = variant.sweep["rows"]
    within = {
        budget: [row for row in rows if row["evaluations"] <= budget]
        for budget in sorted({int(row["budget"]) for row in rows})
    }
    return [{**min(fit, key=lambda row: float(row["fid"])), "budget": budget} for budget, fit in within.items()]


def own_row(variant: VariantEvidence) -> Json:
    """The variant as it is sampled in the rest of the report, with which the other rows are compared."""
    row: Json = variant.sweep["rows"][0]
    return row


def cheapest_not_worse(variant: VariantEvidence) -> Json:
    """The row of fewest evaluations whose distance is not resolved to be larger than that of the variant's own.

    The intervals of the differences hold at once, and what they are differences from was not picked after looking: so
    some row is wrongly passed over in no more builds than their confidence allows.
    """
    rows = sorted(variant.sweep["rows"], key=lambda row: (row["evaluations"], row["fid"]))
    return next(row for row in rows if row["difference_low"] <= 0.0)


def other_numbers(variant: VariantEvidence) -> list[Json]:
    """The rows of the variant's own sampler with other numbers of steps, by rising number."""
    own = own_row(variant)
    alike = [row for row in variant.sweep["rows"] if row["sampler"] == own["sampler"] and row is not own]
    return sorted(alike, key=lambda row: int(row["evaluations"]))


def steps_sentences(evidence: Evidence) -> list[str]:
    """What the number of steps alone does to each model that was sampled with several, in plain text."""
    return [_steps_sentence(variant) for variant in evidence.variants if other_numbers(variant)]


def _steps_sentence(variant: VariantEvidence) -> str:
    own, images = own_row(variant), count(variant.sweep["num_images"])
    start = f"{variant.spec.title} from {images} seeds, by {sampler_text(own)}: FID {_distance(own)}."
    parts = [f"with {count(row['evaluations'])}: {gap_text(row)}" for row in other_numbers(variant)]
    return f"{start} From the same seeds, {'; '.join(parts)}."


def _sentences(variant: VariantEvidence) -> str:
    own, rows = own_row(variant), variant.sweep["rows"]
    start = f"{variant.spec.title} is sampled by {sampler_text(own)}: FID {_distance(own)}."
    if len(rows) == 1:
        return f"{start} No other was tried."
    best = min(rows, key=lambda row: float(row["fid"]))
    told = {own["evaluations"], best["evaluations"]}
    return " ".join([start, _smallest(own, best, len(rows)), _fewest(cheapest_not_worse(variant), told, rows)])


def _smallest(own: Json, best: Json, tried: int) -> str:
    if best is own:
        return f"No other of the {count(tried)} tried has a smaller one."
    return f"The smallest of the {count(tried)} tried is that of {sampler_text(best)}, {gap_text(best)}."


def _fewest(cheap: Json, told: set[int], rows: list[Json]) -> str:
    """The fewest evaluations that do, unless their row has just been told of, and then what fewer do."""
    if cheap["evaluations"] not in told:
        return f"The fewest evaluations not found worse are those of {sampler_text(cheap)}, {gap_text(cheap)}."
    fewer = any(row["evaluations"] < cheap["evaluations"] for row in rows)
    return f"Fewer than {count(cheap['evaluations'])} {'are all found worse' if fewer else 'were not tried'}."


def _floor(evidence: Evidence) -> str:
    real, made = _real(evidence), evidence.variants[0].sweep["num_images"]
    enough = real["num_images"] == made
    images = "as many real test images" if enough else f"{count(real['num_images'])} real test images"
    return f"The FID of {images} is {_distance(real)}."


def _late(evidence: Evidence) -> str:
    """What it means that the prior comes first, in a paragraph of its own; empty where it does so in no row."""
    names = [row["sampler"] for variant in evidence.variants for row in variant.sweep["rows"]]
    if not any(name.endswith(PRIOR_FIRST) for name in names):
        return ""
    return (
        "\n\nThe prior first: the steps at noise above which the model's own sampler does not ask its network are "
        "taken by the prior's guess alone, and are no evaluations. Without these words a sampler from noise asks the "
        "network at every step, at strong noise too, whether or not its training showed it such."
    )


def _real(evidence: Evidence) -> Json:
    """The real test images beside the sweeps, which are the same for every model."""
    row: Json = evidence.variants[0].sweep["real"]
    return row


def sampler_text(row: Json) -> str:
    """A row's sampler and how often it asks the network."""
    return f"{row['sampler']} with {evaluations_text(row['evaluations'])}"


def _distance(row: Json) -> str:
    return number_interval(interval_beside(row, "fid"))


def known_text(gap: Interval) -> str:
    """Whether a difference is more than chance."""
    return "resolved" if excludes_zero(gap) else "not resolved"


def gap_text(row: Json, name: str = "difference") -> str:
    """How far a row's distance is from another's, and whether that is more than chance.

    Args:
        row: a row of a table.
        name: of the difference: ``difference`` from the table's first row.
    """
    gap = interval_beside(row, name)
    known = known_text(gap)
    if gap.value < 0:
        return f"{number_interval(Interval(-gap.value, -gap.high, -gap.low))} less, {known}"
    return f"{number_interval(gap)} more, {known}"


def _row(variant: VariantEvidence, row: Json) -> tuple[object, ...]:
    numbers = count(row["budget"]), count(row["evaluations"])
    return variant.spec.title, *numbers, row["sampler"], *_figures(row)


def _figures(row: Json) -> tuple[str, str]:
    return _distance(row), percent_interval(interval_beside(row, "accuracy"))
