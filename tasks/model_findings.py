"""Which models come out better: in a ranking, and each against the course's on the images that they share."""

import itertools

from tasks.evidence import Evidence, VariantEvidence, interval
from tasks.labels import NUM_CLASSES
from tasks.pairing import Pair, Pairs
from tasks.report_tables import pipe_table
from tasks.verdicts import points, unsigned
from tasks.wording import Markdown, chance, count, escape, listed, percent, percent_interval, told

UNPAIRED = "seeds or classes differ, so the comparison is between independent images and has no test"


def ranking_text(evidence: Evidence, pairs: Pairs, confidence: float) -> Markdown:
    """The variants by class accuracy, and whether each is better than the next."""
    ranked = sorted(evidence.variants, key=lambda variant: variant.evaluate["accuracy"]["value"], reverse=True)
    shares = [f"{percent_interval(interval(v.evaluate['accuracy']))} of {v.spec.title}'s samples" for v in ranked]
    real = percent_interval(interval(evidence.real().critic["accuracy"]))
    gaps = [_gap(better, worse, pairs, confidence) for better, worse in itertools.pairwise(ranked)]
    text = (
        f"The classifier takes {listed(shares)} for the garment asked for, and {real} of real test images; "
        f"guessing gives {percent(1 / NUM_CLASSES)}."
    )
    return Markdown(f"{escape(text)} {told(gaps)}")


def trained_text(evidence: Evidence) -> Markdown:
    """How often each training saw its images, without which a comparison means little."""
    parts = [f"{evidence.epochs(variant):.2g} times by {variant.spec.title}" for variant in evidence.trained()]
    return escape(f"On average, each training image was seen {listed(parts)}. {shared_text(evidence)}".rstrip())


def shared_text(evidence: Evidence) -> str:
    """Whose weights are another variant's, a sentence each, in plain text; empty where every variant was trained."""
    titles, trained = {variant.name: variant.spec.title for variant in evidence.variants}, evidence.trained()
    sharing = [variant for variant in evidence.variants if variant not in trained]
    pairs = [(variant.spec.title, titles[variant.train["taken_from"]]) for variant in sharing]
    return " ".join(f"{title} was not trained separately: its weights are those of {other}." for title, other in pairs)


def against_text(evidence: Evidence, pairs: Pairs, confidence: float) -> Markdown | None:
    """What the comparisons with the baseline say, a sentence a variant; None where there is nothing to compare."""
    baseline, others = evidence.baseline(), compared(evidence)
    if baseline is None or not others:
        return None
    sentences = [paired_sentence(variant, baseline, pairs, confidence) for variant in others]
    return told(sentences)


def against_table(evidence: Evidence, pairs: Pairs) -> Markdown:
    """Class accuracy of every other variant against the baseline's, image by image.

    Args:
        evidence: of a build that has the baseline and another variant.
        pairs: its comparisons.
    """
    baseline = evidence.baseline()
    assert baseline is not None
    title = baseline.spec.title
    rows = [_row(variant, pairs.between(variant.name, baseline.name)) for variant in compared(evidence)]
    header = ("Model", "n", f"Less {title}", "Only it right", f"Only {title} right", "p")
    return pipe_table(header, rows)


def compared(evidence: Evidence) -> list[VariantEvidence]:
    """The variants that are compared with the baseline."""
    return [variant for variant in evidence.variants if variant is not evidence.baseline()]


def paired_sentence(variant: VariantEvidence, baseline: VariantEvidence, pairs: Pairs, confidence: float) -> str:
    """The class accuracy of one variant against another's, in plain text."""
    pair, title, other = pairs.between(variant.name, baseline.name), variant.spec.title, baseline.spec.title
    gap = f"{points(pair.gap)} of class accuracy"
    if not pair.paired:
        return f"{title} less {other}: {gap}, {_known(pair, confidence)}; {UNPAIRED}."
    return (
        f"Of {count(pair.images)} shared seeds, {title} alone is right on {count(pair.only_first)} and {other} alone "
        f"on {count(pair.only_second)}: {gap} for {title} (p {chance(pair.p_value)}), {_known(pair, confidence)}."
    )


def _gap(better: VariantEvidence, worse: VariantEvidence, pairs: Pairs, confidence: float) -> str:
    pair, titles = pairs.between(better.name, worse.name), (better.spec.title, worse.spec.title)
    gap = unsigned(points(pair.gap))
    if pair.resolved(confidence):
        return f"{titles[0]} leads {titles[1]} by {gap}."
    return f"Which of {titles[0]} and {titles[1]} is better is not resolved: {gap} apart."


def _row(variant: VariantEvidence, pair: Pair) -> tuple[str, ...]:
    title, gap = variant.spec.title, points(pair.gap)
    if not pair.paired:
        return title, count(pair.images), gap, "unpaired", "unpaired", "no test"
    alone = count(pair.only_first), count(pair.only_second)
    return title, count(pair.images), gap, *alone, chance(pair.p_value).removeprefix("= ")


def _known(pair: Pair, confidence: float) -> str:
    return "resolved" if pair.resolved(confidence) else "not resolved"
