"""Which classes come out better, and whether the measurements can tell."""

from collections.abc import Mapping
from typing import Literal

from models.intervals import Interval
from tasks.clip_findings import TRUSTED_CLIP, reservation
from tasks.comparisons import apart, difference, mean_of
from tasks.evidence import THE_SOURCE, Evidence, Judged, interval
from tasks.labels import CLASS_NAMES, CLASS_SLUGS, NUM_CLASSES
from tasks.verdicts import Finding, Verdict, points, sign_verdict
from tasks.wording import Markdown, count, escape, listed, percent_interval

Judge = Literal["critic", "clip"]
SIMPLE, COMPLEX = ("t-shirt", "trouser"), ("sneaker",)
"""The source's own examples of simple and of complex shapes."""


def shapes_finding(evidence: Evidence, judge: Judge) -> Finding:
    """Whether the source's simple shapes come out better than its complex one, beyond what real images show.

    Judges find some classes easier than others, so the same contrast on real images is taken away. A CLIP model that
    failed its test, or was fitted here, answers nothing; see :func:`tasks.clip_findings.reservation`.
    Samples that show no classes say nothing of them, and answer nothing.

    Args:
        evidence: the build's measurements.
        judge: whose figures.
    """
    rows = [row for row in evidence.rows() if row.measured]
    expected = contrast(evidence.real(), judge)
    made = {row.title: contrast(row, judge) for row in rows}
    nets = {title: difference(figure, expected) for title, figure in made.items()}
    parts = [f"{title} {points(made[title])}, net of real images {points(net)}" for title, net in nets.items()]
    name = "recognised by the critic" if judge == "critic" else "CLIP's good and clear together"
    text = f"T-shirt and trouser less sneaker, {name}: {'; '.join(parts)}. Real images {points(expected)}."
    guessed = [row.title for row in rows if not above_chance(row)]
    if guessed:
        text = f"{text} Says nothing, being recognised no more often than by luck: {listed(guessed)}."
    verdict, needs = _shapes_verdict(evidence, nets, guessed)
    if judge == "clip" and (doubt := reservation(evidence)):
        verdict, text, needs = "not answered", f"{text} {doubt}", TRUSTED_CLIP
    source = "the critic" if judge == "critic" else "CLIP"
    return Finding(f"Simple shapes are easier than complex ones ({source}).", verdict, escape(text), "shapes", needs)


def _shapes_verdict(evidence: Evidence, nets: Mapping[str, Interval], guessed: list[str]) -> tuple[Verdict, str]:
    """The verdict, and what it takes to have one."""
    source = evidence.source_variant()
    if source is None:
        return "not answered", THE_SOURCE
    title = source.spec.title
    if title in guessed:
        return "not answered", f"samples of {title} that are recognised more often than by luck"
    return sign_verdict(nets[title]), f"more samples of {title}"


def above_chance(row: Judged) -> bool:
    """Whether the critic recognises more of a row's images than guessing would."""
    return interval(row.critic["accuracy"]).low > 1 / NUM_CLASSES


def unrecognised_text(evidence: Evidence) -> Markdown | None:
    """Which models' samples say nothing of garments, and what would change that; None where all of them do."""
    titles = [row.title for row in evidence.rows() if row.measured and not above_chance(row)]
    if not titles:
        return None
    text = (
        f"Samples of {listed(titles)} are recognised no more often than by luck, so claims about what garments look "
        "like cannot be tried on them; a longer training, or a schedule that ends in noise, may change that."
    )
    return escape(text)


def contrast(row: Judged, judge: Judge) -> Interval:
    """The mean over the simple classes less that over the complex ones."""
    simple, complicated = ([class_figure(row, judge, slug) for slug in group] for group in (SIMPLE, COMPLEX))
    return difference(mean_of(simple), mean_of(complicated))


def class_figure(row: Judged, judge: Judge, slug: str) -> Interval:
    """A judge's figure for one class: the critic's accuracy, or CLIP's share of the good and the clear prompt.

    The latter is what the blurry prompt leaves.
    """
    if judge == "critic":
        return interval(row.critic["per_class"][slug]["accuracy"])
    blurry = interval(row.clip["per_class"][slug]["blurry"])
    return Interval(1 - blurry.value, 1 - blurry.high, 1 - blurry.low)


def balance_finding(evidence: Evidence) -> Finding:
    """Why no build tells whether better represented classes are easier: their images would have to be taken away."""
    counts = evidence.prepare["counts"]["train"]
    held = f"{count(min(counts))} to {count(max(counts))} images a class, which differ in more than their number"
    if min(counts) == max(counts):
        held = f"{count(counts[0])} images of every class, so no class is better represented"
    text = f"The training split holds {held}; the claim needs an experiment that removes images."
    needs = "models trained with images of some classes removed"
    return Finding("Better represented classes are easier.", "not answered", escape(text), "balance", needs)


def extremes(row: Judged, judge: Judge) -> Markdown:
    """The best and the worst classes of a row by one judge, all that tie, and whether they can be told apart."""
    figures = [class_figure(row, judge, slug) for slug in CLASS_SLUGS]
    worst, best = (pick(figures, key=lambda figure: figure.value) for pick in (min, max))
    if best.value == worst.value:
        return escape(f"{row.title}: all classes alike, {percent_interval(best)}.")
    names = [_tied(figures, end) for end in (best, worst)]
    resolved = "do not touch" if apart(best, worst) else "overlap: the order is not resolved"
    text = (
        f"{row.title}: best {names[0]}, {percent_interval(best)}; "
        f"worst {names[1]}, {percent_interval(worst)}; their intervals {resolved}."
    )
    return escape(text)


def _tied(figures: list[Interval], end: Interval) -> str:
    names = [name for name, figure in zip(CLASS_NAMES, figures, strict=True) if figure.value == end.value]
    return listed(names)
