"""What guidance does to a model's images: how good they are, and how much of the real variety is left."""

from tasks.evidence import Evidence, Json, VariantEvidence, interval_beside
from tasks.report_tables import pipe_table
from tasks.sampler_names import WITHOUT_CLASS
from tasks.sweep_findings import gap_text, known_text, own_row
from tasks.wording import Markdown, count, number, number_interval, percent, percent_interval, told

NOT_MADE = "\u2013"
"""Stands in the cells of a row that no model made."""


def guidance_text(evidence: Evidence) -> Markdown:
    """What the guided samples say, a few sentences a model."""
    return told([_sentences(variant) for variant in evidence.variants if variant.guided])


def strongest_sentences(evidence: Evidence) -> list[str]:
    """What classifier-free guidance does at its largest scale to each model that was sampled with it, in plain text."""
    return [_strongest(variant) for variant in evidence.variants if _without_class(variant)]


def drawn_otherwise(evidence: Evidence) -> list[str]:
    """The titles of the guided models that are drawn by another sampler here than elsewhere in the report."""
    return [variant.spec.title for variant in evidence.variants if variant.guided and not _is_own(variant)]


def guidance_table(evidence: Evidence) -> Markdown:
    """Every guide and scale, model by model, and under them as many real test images."""
    header = ("Images", "Guide", "g", "Taken", "FID", "Accuracy", "Recall", "Coverage")
    led = [variant for variant in evidence.variants if variant.guided]
    rows = [_row(variant, row) for variant in led for row in variant.sweep["guidance"]]
    real = evidence.variants[0].sweep["real"]
    return pipe_table(header, [*rows, ("Real test images", NOT_MADE, NOT_MADE, NOT_MADE, *_figures(real))])


def _sentences(variant: VariantEvidence) -> str:
    plain, led = variant.unguided, variant.guided
    best = min(led, key=lambda row: float(row["fid"]))
    images = count(variant.sweep["num_images"])
    start = f"{variant.spec.title} from {images} seeds without guidance: {_told(plain)}."
    if best["difference"] >= 0.0:
        return f"{start} None of the {count(len(led))} ways to guide it that were tried has a smaller FID."
    tried = f"Of the {count(len(led))} ways to guide it that were tried, the smallest FID is that of"
    found = f"{_name(best)}: {gap_text(best)}; {_told(best)}"
    return f"{start} {tried} {found}. {_recall_sentence(best)} {_beside_rival(best)}"


def _recall_sentence(row: Json) -> str:
    """Whether variety was lost, beside the same model without guidance."""
    gap = interval_beside(row, "recall_gain")
    return f"Its recall is {gap_text(row, 'recall_gain')}." if gap.value else "Its recall is the same."


def _beside_rival(row: Json) -> str:
    """What the evaluations that guidance takes would have bought without it."""
    rival, looks = f"{row['rival']} with {count(row['rival_evaluations'])}", count(row["evaluations"])
    start = f"It takes {looks} evaluations; of all samplers without guidance that take no more, {rival} has the"
    return f"{start} smallest FID, {number(row['rival_fid'])}: beside that, guidance has {gap_text(row, 'beyond')}."


def _strongest(variant: VariantEvidence) -> str:
    plain, row = variant.unguided, _without_class(variant)[-1]
    accuracies = [percent_interval(interval_beside(each, "accuracy")) for each in (plain, row)]
    seen, varied = (known_text(interval_beside(row, gain)) for gain in ("gain", "recall_gain"))
    start = f"{variant.spec.title} from {count(variant.sweep['num_images'])} seeds, by {plain['sampler']}"
    return (
        f"{start} with {count(plain['evaluations'])} evaluations: led away from its answer without the class at g = "
        f"{row['scale']:g}, the largest scale tried and picked for that alone, class accuracy goes from "
        f"{accuracies[0]} to {accuracies[1]}, {seen}, recall from "
        f"{plain['recall']:.2f} to {row['recall']:.2f}, {varied}; FID is {gap_text(row)}."
    )


def _is_own(variant: VariantEvidence) -> bool:
    plain, own = variant.unguided, own_row(variant)
    return (plain["sampler"], plain["evaluations"]) == (own["sampler"], own["evaluations"])


def _without_class(variant: VariantEvidence) -> list[Json]:
    """The rows of classifier-free guidance at all noise levels, by rising scale."""
    return [row for row in variant.guided if row["guide"] == WITHOUT_CLASS]


def _name(row: Json) -> str:
    return f"\u201c{row['guide']}\u201d at g = {row['scale']:g}"


def _told(row: Json) -> str:
    fid, accuracy = number_interval(interval_beside(row, "fid")), percent_interval(interval_beside(row, "accuracy"))
    return f"FID {fid}, class accuracy {accuracy}, recall {row['recall']:.2f}, coverage {row['coverage']:.2f}"


def _row(variant: VariantEvidence, row: Json) -> tuple[object, ...]:
    return variant.spec.title, row["guide"], f"{row['scale']:g}", count(row["evaluations"]), *_figures(row)


def _figures(row: Json) -> tuple[str, ...]:
    """Without the interval of class accuracy, which the figure shows."""
    fid, accuracy = number_interval(interval_beside(row, "fid")), percent(row["accuracy"])
    return fid, accuracy, *(f"{row[key]:.2f}" for key in ("recall", "coverage"))
