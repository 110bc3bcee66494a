"""Which classes and which models come out better, and whether the measurements can tell."""

import itertools
from typing import Literal

from models.intervals import Interval
from tasks.comparisons import apart, difference, excludes_zero, mean_of, widened
from tasks.evidence import Evidence, Judged, interval
from tasks.labels import CLASS_NAMES, CLASS_SLUGS, NUM_CLASSES
from tasks.verdicts import Finding, Verdict, joint_verdict, points, unsigned
from tasks.wording import Markdown, count, escape, listed, percent_interval

Judge = Literal["critic", "clip"]
SIMPLE, COMPLEX = ("t-shirt", "trouser"), ("sneaker",)
"""The source's own examples of simple and of complex shapes."""


def shapes_finding(evidence: Evidence, judge: Judge, confidence: float) -> Finding:
    """Whether the source's simple shapes come out better than its complex one, beyond what real images show.

    Judges find some classes easier than others, so the same contrast on real images is taken away.
    """
    rows = [row for row in evidence.rows() if row.measured]
    expected = contrast(evidence.real(), judge, confidence)
    made = [contrast(row, judge, confidence) for row in rows]
    nets = [difference(figure, expected) for figure in made]
    parts = [
        f"{row.title} {points(figure)}, net of real images {points(net)}"
        for row, figure, net in zip(rows, made, nets, strict=True)
    ]
    name = "recognised by the critic" if judge == "critic" else "CLIP's good and clear together"
    text = f"T-shirt and trouser less sneaker, {name}: {'; '.join(parts)}. Real images {points(expected)}."
    source = "the critic" if judge == "critic" else "CLIP"
    return Finding(f"Simple shapes are easier than complex ones ({source}).", joint_verdict(nets), escape(text))


def contrast(row: Judged, judge: Judge, confidence: float) -> Interval:
    """The mean over the simple classes less that over the complex ones."""
    simple, complicated = (
        [class_figure(row, judge, slug, confidence) for slug in group] for group in (SIMPLE, COMPLEX)
    )
    return difference(mean_of(simple), mean_of(complicated))


def class_figure(row: Judged, judge: Judge, slug: str, confidence: float) -> Interval:
    """A judge's figure for one class: the critic's accuracy, or CLIP's share of the good and the clear prompt.

    The latter is what the blurry prompt leaves. Where the critic's answers all agree, the interval is Wilson's.
    """
    if judge == "critic":
        per_class = row.critic["num_images"] // NUM_CLASSES
        return widened(interval(row.critic["per_class"][slug]["accuracy"]), per_class, confidence)
    blurry = interval(row.clip["per_class"][slug]["blurry"])
    return Interval(1 - blurry.value, 1 - blurry.high, 1 - blurry.low)


def balance_finding(evidence: Evidence) -> Finding:
    """Whether the data can tell that better represented classes are easier."""
    counts = evidence.prepare["counts"]["train"]
    spread = f"The training split holds {count(min(counts))} to {count(max(counts))} images a class"
    if min(counts) == max(counts):
        spread = f"The training split holds {count(counts[0])} images of every class"
    text = f"{spread}, so no class is better represented; the claim needs an experiment that removes images."
    verdict: Verdict = "not answered"
    return Finding("Better represented classes are easier.", verdict, escape(text))


def extremes(row: Judged, judge: Judge, confidence: float) -> Markdown:
    """The best and the worst class of a row by one judge, and whether they can be told apart."""
    figures = [(class_figure(row, judge, slug, confidence), index) for index, slug in enumerate(CLASS_SLUGS)]
    ranked = sorted(figures, key=lambda pair: pair[0].value)
    (worst, low), (best, high) = ranked[0], ranked[-1]
    if best.value == worst.value:
        return escape(f"{row.title}: all classes alike, {percent_interval(best)}.")
    resolved = "do not touch" if apart(best, worst) else "overlap: the order is not resolved"
    text = (
        f"{row.title}: best {CLASS_NAMES[high]}, {percent_interval(best)}; "
        f"worst {CLASS_NAMES[low]}, {percent_interval(worst)}; their intervals {resolved}."
    )
    return escape(text)


def ranking_text(evidence: Evidence, confidence: float) -> Markdown:
    """The variants compared by class accuracy, each neighbour pair with its difference."""
    rows = [row for row in evidence.rows() if row.measured]
    ranked = sorted(rows, key=lambda row: row.critic["accuracy"]["value"], reverse=True)
    best = f"{ranked[0].title} leads with {percent_interval(accuracy_of(ranked[0], confidence))}"
    parts = []
    for better, worse in itertools.pairwise(ranked):
        gap = difference(accuracy_of(better, confidence), accuracy_of(worse, confidence))
        known = "resolved" if excludes_zero(gap) else "not resolved"
        parts.append(f"{worse.title} follows {unsigned(points(gap))} behind {better.title} ({known})")
    real = percent_interval(accuracy_of(evidence.real(), confidence))
    return escape(f"{listed([best, *parts])}. Real test images reach {real}.")


def accuracy_of(row: Judged, confidence: float) -> Interval:
    """A row's class accuracy; the interval is Wilson's where the answers all agree."""
    return widened(interval(row.critic["accuracy"]), row.critic["num_images"], confidence)
