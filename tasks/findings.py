"""What the measurements say: plain functions from metrics to sentences, with no result written in advance."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import pandas as pd

from models.intervals import Interval
from models.spec import DdpmSpec
from tasks.comparisons import apart, difference, excludes_zero, mean_of, wilson
from tasks.evidence import Evidence, Judged, interval
from tasks.labels import CLASS_NAMES, CLASS_SLUGS
from tasks.noise_left import audit_of
from tasks.recognition import settling_points
from tasks.wording import NBSP, Markdown, count, escape, listed, number, percent, percent_interval

Verdict = Literal["confirmed", "confirmed in part", "refuted", "not answered"]
Judge = Literal["critic", "clip"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
CLAIMED_LOSS = (0.105, 0.110)
CLAIMED_STEPS = (0.5, 0.7)
SIMPLE, COMPLEX = ("t-shirt", "trouser"), ("sneaker",)
"""The source's own examples of simple and of complex shapes."""
SMALL_GAP = 0.1
"""A shortfall of class accuracy behind real images up to which samples count as good."""
GONE = 0.05
"""A share of the amplitude below which a garment can no longer be made out, and the schedule counts as complete."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim of the source and what became of it.

    Attributes:
        claim: in one sentence.
        verdict: what the measurements say.
        text: the figures behind the verdict.
    """

    claim: str
    verdict: Verdict
    text: Markdown


def findings(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> list[Finding]:
    """Every claim of the source that this build can speak to, in the order of the report.

    Args:
        evidence: the build's measurements.
        recognition: see :func:`tasks.recognition.recognition_table`.
        confidence: of all intervals.
    """
    found = [schedule_finding(evidence), loss_finding(evidence), validation_finding(evidence)]
    found += [loss_quality_finding(evidence), training_finding(evidence, recognition, confidence)]
    found += [steps_finding(evidence, recognition, confidence), gate_finding(evidence)]
    found += [shapes_finding(evidence, "critic"), shapes_finding(evidence, "clip")]
    found.append(balance_finding(evidence))
    return [finding for finding in found if finding is not None]


def schedule_finding(evidence: Evidence) -> Finding | None:
    """Whether the source's schedule ends in the pure noise that its sampling starts from."""
    variant = evidence.source_variant()
    if variant is None or not isinstance(variant.spec.process, DdpmSpec):
        return None
    left = audit_of(variant.spec.process, evidence.prepare["pixel_mean"])
    verdict: Verdict = "confirmed" if left.amplitude < GONE else "refuted"
    text = (
        f"The last step keeps {percent(left.amplitude)} of the signal's amplitude (abar_T = {left.abar:.3f}, "
        f"signal-to-noise ratio {number(left.snr)}), and a mean pixel of {number(left.mean_shift)} where N(0, I) has 0."
    )
    return Finding("The last step of the forward process is pure noise.", verdict, escape(text))


def loss_finding(evidence: Evidence) -> Finding | None:
    """The source's training loss: from above 1 to 0.105-0.110."""
    variant = evidence.source_variant()
    if variant is None:
        return None
    first, last = variant.train["train_loss_first"], variant.train["train_loss_final"]
    low, high = CLAIMED_LOSS
    reached = round(last, 3) <= high
    verdict: Verdict = "confirmed" if first > 1 and reached else "confirmed in part" if last < first else "refuted"
    text = (
        f"{variant.spec.title}: {number(first)} over the first logged steps, {number(last)} over the last, "
        f"after {count(variant.train['images'])} images; the source's end is {low:.3f} to {high:.3f}."
    )
    return Finding("The training loss falls from above 1 to 0.105-0.110.", verdict, escape(text))


def validation_finding(evidence: Evidence) -> Finding:
    """Whether the validation loss falls from the first snapshot to the end."""
    ends = [(v, v.train["snapshots"][0]["val_loss"], v.train["val_loss_final"]) for v in evidence.variants]
    fell = [last < first for _, first, last in ends]
    verdict: Verdict = "confirmed" if all(fell) else "confirmed in part" if any(fell) else "refuted"
    parts = [f"{variant.spec.title}: {number(first)} to {number(last)}" for variant, first, last in ends]
    text = f"From the first snapshot to the end. {'; '.join(parts)}."
    return Finding("The validation loss falls too.", verdict, escape(text))


def loss_quality_finding(evidence: Evidence) -> Finding | None:
    """Whether the source's low loss goes with recognisable samples."""
    variant = evidence.source_variant()
    if variant is None:
        return None
    made, real = interval(variant.evaluate["accuracy"]), interval(evidence.real().critic["accuracy"])
    gap = difference(real, made)
    verdict: Verdict = "refuted" if gap.low > SMALL_GAP else "confirmed" if gap.high < SMALL_GAP else "not answered"
    text = (
        f"With a final validation loss of {number(variant.train['val_loss_final'])}, {percent_interval(made)} of "
        f"{count(variant.evaluate['num_images'])} samples are recognised, of real images {percent_interval(real)}: "
        f"a gap of {unsigned(points(gap))}."
    )
    return Finding("A low loss means good samples.", verdict, escape(text))


def training_finding(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> Finding:
    """Whether samples become recognisable as training goes on, from the same noise."""
    parts, gains = [], []
    for variant in evidence.variants:
        rows = recognition[(recognition["variant"] == variant.name) & (recognition["along"] == "training")]
        steps = sorted(rows["position"].unique())
        before, after = (recognised_share(rows, step, "guess", confidence) for step in (steps[0], steps[-1]))
        gains.append(excludes_zero(difference(after, before)) and after.value > before.value)
        number_shown = int((rows["position"] == steps[0]).sum())
        parts.append(f"{variant.spec.title}: {percent(before.value)} to {percent_interval(after)}, n = {number_shown}")
    verdict: Verdict = "confirmed" if all(gains) else "confirmed in part" if any(gains) else "refuted"
    text = f"Recognised by the critic before and after training. {'; '.join(parts)}."
    return Finding("Samples go from noise to clear garments over the training.", verdict, escape(text))


def recognised_share(rows: pd.DataFrame, position: float, column: str, confidence: float) -> Interval:
    """Share of the images recognised at one position, with Wilson's interval."""
    answers = rows.loc[rows["position"] == position, column]
    return wilson(int(answers.sum()), len(answers), NormalDist().inv_cdf(0.5 + confidence / 2))


def steps_finding(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> Finding | None:
    """Whether garments become recognisable after 50-70 % of the reverse steps, in the source's system where possible.

    The claim counts as confirmed where the median image settles inside the claimed range, refuted where it settles
    outside, and not answered where most images never settle.
    """
    variant = evidence.source_variant() or evidence.variants[0]
    rows = recognition[(recognition["variant"] == variant.name) & (recognition["along"] == "reverse")]
    points_found = settling_points(rows)
    settled = sorted(point for point in points_found if point is not None)
    claim = "Garments become recognisable after 50-70 % of the reverse steps."
    text = f"{variant.spec.title}: {settling_text(points_found)}"
    if len(settled) * 2 <= len(points_found):
        return Finding(claim, "not answered", escape(f"{text} Too few of its samples are recognisable at all."))
    median = settled[len(settled) // 2]
    verdict: Verdict = "confirmed" if CLAIMED_STEPS[0] <= round(median, 6) <= CLAIMED_STEPS[1] else "refuted"
    return Finding(claim, verdict, escape(text))


def settling_text(found: Sequence[float | None]) -> str:
    """From where on the images stay recognised, in words."""
    settled = sorted(point for point in found if point is not None)
    if not settled:
        return f"the guess of none of {len(found)} images is recognised at the end."
    median = settled[len(settled) // 2]
    first, last = f"{100 * settled[0]:.0f}{NBSP}%", f"{100 * settled[-1]:.0f}{NBSP}%"
    span = f"{first} of the steps on" if first == last else f"{first} to {last} of the steps on, depending on the image"
    return (
        f"the guess of {len(settled)} of {len(found)} images is recognised at the end, and stays so from {span} "
        f"(median {100 * median:.0f}{NBSP}%)."
    )


def gate_finding(evidence: Evidence) -> Finding:
    """Whether CLIP can tell clear from blurry on real images, where the truth is known."""
    scorer = evidence.scorer
    auc, accuracy = interval(scorer["auc_clear_blurry"]), interval(scorer["zero_shot_accuracy"])
    text = (
        f"On {count(scorer['num_test'])} real test images it names the class of {percent_interval(accuracy)} and ranks "
        f"a clear picture above its blurred copy with an AUC of {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}; "
        f"0.5 is chance)."
    )
    verdict: Verdict = "confirmed" if scorer["gate"]["passed"] else "refuted"
    return Finding("CLIP's clear and blurry prompts measure how clear a picture is.", verdict, escape(text))


def shapes_finding(evidence: Evidence, judge: Judge) -> Finding:
    """Whether the source's simple shapes come out better than its complex one, beyond what real images show.

    Judges find some classes easier than others, so the same contrast on real images is taken away.
    """
    rows = [row for row in evidence.rows() if row.measured]
    expected = contrast(evidence.real(), judge)
    nets = [difference(contrast(row, judge), expected) for row in rows]
    parts = [
        f"{row.title} {points(contrast(row, judge))}, net of real images {points(net)}"
        for row, net in zip(rows, nets, strict=True)
    ]
    name = "recognised by the critic" if judge == "critic" else "CLIP's good and clear together"
    text = f"T-shirt and trouser less sneaker, {name}: {'; '.join(parts)}. Real images {points(expected)}."
    source = "the critic" if judge == "critic" else "CLIP"
    return Finding(f"Simple shapes are easier than complex ones ({source}).", joint_verdict(nets), escape(text))


def joint_verdict(nets: Sequence[Interval]) -> Verdict:
    """The verdict on a claim that several differences should be above zero."""
    above, below = (any(excludes_zero(net) and (net.value > 0) == side for net in nets) for side in (True, False))
    if above and all(net.low > 0 for net in nets):
        return "confirmed"
    return "confirmed in part" if above else "refuted" if below else "not answered"


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
    """Whether the data can tell that better represented classes are easier."""
    counts = evidence.prepare["counts"]["train"]
    spread = f"The training split holds {count(min(counts))} to {count(max(counts))} images a class"
    if min(counts) == max(counts):
        spread = f"The training split holds {count(counts[0])} images of every class"
    text = f"{spread}, so no class is better represented; the claim needs an experiment that removes images."
    verdict: Verdict = "not answered"
    return Finding("Better represented classes are easier.", verdict, escape(text))


def points(value: Interval) -> str:
    """A difference of shares in percentage points, with its interval."""
    low, middle, high = (f"{100 * end:+.1f}".replace("-", "\u2212") for end in (value.low, value.value, value.high))
    return f"{middle} points ({low} to {high})"


def unsigned(text: str) -> str:
    """A difference without its plus signs, for sentences that name its direction."""
    return text.replace("+", "")


def extremes(row: Judged, judge: Judge) -> Markdown:
    """The best and the worst class of a row by one judge, and whether they can be told apart."""
    figures = [(class_figure(row, judge, slug), index) for index, slug in enumerate(CLASS_SLUGS)]
    ranked = sorted(figures, key=lambda pair: pair[0].value)
    (worst, low), (best, high) = ranked[0], ranked[-1]
    resolved = (
        "their intervals do not touch" if apart(best, worst) else "their intervals overlap: the order is not resolved"
    )
    text = (
        f"{row.title}: best {CLASS_NAMES[high]}, {percent_interval(best)}; "
        f"worst {CLASS_NAMES[low]}, {percent_interval(worst)}; {resolved}."
    )
    return escape(text)


def ranking_text(evidence: Evidence) -> Markdown:
    """The variants compared by class accuracy, each neighbour pair with its difference."""
    ranked = sorted(evidence.variants, key=lambda v: v.evaluate["accuracy"]["value"], reverse=True)
    best = f"{ranked[0].spec.title} leads with {percent_interval(interval(ranked[0].evaluate['accuracy']))}"
    parts = []
    for better, worse in itertools.pairwise(ranked):
        gap = difference(interval(better.evaluate["accuracy"]), interval(worse.evaluate["accuracy"]))
        known = "resolved" if excludes_zero(gap) else "not resolved"
        parts.append(f"{worse.spec.title} follows {unsigned(points(gap))} behind {better.spec.title} ({known})")
    real = percent_interval(interval(evidence.real().critic["accuracy"]))
    return escape(f"{listed([best, *parts])}. Real test images reach {real}.")
