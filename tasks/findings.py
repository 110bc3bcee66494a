"""What the measurements say of the source's claims: plain functions from metrics to sentences.

No result is written in advance: verdicts and figures change with the files.
"""

import math
from collections.abc import Sequence

import pandas as pd

from models.intervals import Interval
from models.spec import DdpmSpec
from tasks.class_findings import Judge, accuracy_of, balance_finding, shapes_finding
from tasks.comparisons import difference, median_interval, quantile, widened, wilson
from tasks.evidence import Evidence, interval
from tasks.noise_left import audit_of
from tasks.recognition import settling_points
from tasks.verdicts import Finding, Verdict, joint_verdict, points, unsigned
from tasks.wording import NBSP, count, escape, number, percent, percent_interval

CLAIMED_LOSS = (0.105, 0.110)
CLAIMED_STEPS = (0.5, 0.7)
JUDGES: tuple[Judge, ...] = ("critic", "clip")
LOW_LOSS = 0.15
"""A loss up to which the source's argument from the loss applies; it ends at 0.110 itself."""
SMALL_GAP = 0.1
"""A shortfall of class accuracy behind real images up to which samples count as good."""
GONE = 0.05
"""A share of the amplitude below which a garment can no longer be made out, and the schedule counts as complete."""


def findings(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> list[Finding]:
    """Every claim of the source that this build can speak to, in the order of the report.

    Args:
        evidence: the build's measurements.
        recognition: see :func:`tasks.recognition.recognition_table`.
        confidence: of all intervals.
    """
    found = [schedule_finding(evidence), loss_finding(evidence), validation_finding(evidence)]
    found += [loss_quality_finding(evidence, confidence), training_finding(evidence, recognition, confidence)]
    found += [steps_finding(evidence, recognition, confidence), gate_finding(evidence)]
    found += [shapes_finding(evidence, judge, confidence) for judge in JUDGES]
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
        f"{variant.spec.title}: {number(first)} at the first step, {number(last)} over the last logged steps, "
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


def loss_quality_finding(evidence: Evidence, confidence: float) -> Finding | None:
    """Whether the source's low loss goes with recognisable samples; not answered where the loss did not get low."""
    variant = evidence.source_variant()
    if variant is None:
        return None
    made = widened(interval(variant.evaluate["accuracy"]), variant.evaluate["num_images"], confidence)
    real = accuracy_of(evidence.real(), confidence)
    gap, loss = difference(real, made), variant.train["val_loss_final"]
    verdict: Verdict = "refuted" if gap.low > SMALL_GAP else "confirmed" if gap.high < SMALL_GAP else "not answered"
    text = (
        f"{variant.spec.title} ends at a validation loss of {number(loss)}; {percent_interval(made)} of its "
        f"{count(variant.evaluate['num_images'])} samples are recognised, of real images {percent_interval(real)}: "
        f"a gap of {unsigned(points(gap))}."
    )
    if loss > LOW_LOSS:
        verdict, text = "not answered", f"{text} A loss above {LOW_LOSS:g} is not low."
    return Finding("A low loss means good samples.", verdict, escape(text))


def training_finding(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> Finding:
    """Whether samples become recognisable as training goes on, from the same noise."""
    parts, gains = [], []
    for variant in evidence.variants:
        rows = recognition[(recognition["variant"] == variant.name) & (recognition["along"] == "training")]
        steps = sorted(rows["position"].unique())
        before, after = (recognised_share(rows, step, "guess", confidence) for step in (steps[0], steps[-1]))
        gains.append(difference(after, before))
        number_shown = int((rows["position"] == steps[0]).sum())
        parts.append(f"{variant.spec.title}: {percent(before.value)} to {percent_interval(after)}, n = {number_shown}")
    text = f"Recognised by the critic before and after training. {'; '.join(parts)}."
    return Finding("Samples go from noise to clear garments over the training.", joint_verdict(gains), escape(text))


def recognised_share(rows: pd.DataFrame, position: float, column: str, confidence: float) -> Interval:
    """Share of the images recognised at one position, with Wilson's interval."""
    answers = rows.loc[rows["position"] == position, column]
    return wilson(int(answers.sum()), len(answers), quantile(confidence))


def steps_finding(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> Finding:
    """Whether garments become recognisable after 50-70 % of the reverse steps, in the source's system where possible.

    The claim is confirmed where the interval of the median image lies inside the claimed range, refuted where it lies
    outside, and not answered otherwise. An image that never settles counts as later than all others.
    """
    variant = evidence.source_variant() or evidence.variants[0]
    rows = recognition[(recognition["variant"] == variant.name) & (recognition["along"] == "reverse")]
    found = settling_points(rows)
    middle = median_interval([math.inf if point is None else point for point in found], confidence)
    text = f"{variant.spec.title}: {settling_text(found, confidence)}"
    claim = "Garments become recognisable after 50-70 % of the reverse steps."
    return Finding(claim, steps_verdict(middle), escape(text))


def steps_verdict(middle: Interval) -> Verdict:
    """The verdict on the claimed range, from the median share of the steps with its interval."""
    low, high = round(middle.low, 6), round(middle.high, 6)
    if math.isinf(high):
        return "not answered"
    first, last = CLAIMED_STEPS
    return "confirmed" if first <= low <= high <= last else "refuted" if high < first or low > last else "not answered"


def settling_text(found: Sequence[float | None], confidence: float) -> str:
    """From where on the images stay recognised, in words."""
    settled = sorted(point for point in found if point is not None)
    ended = f"the guess of {len(settled) or 'none'} of {len(found)} images is recognised at the end"
    if not settled:
        return f"{ended}."
    first, last = share_text(settled[0]), share_text(settled[-1])
    span = f"{first} of the steps on" if first == last else f"{first} to {last} of the steps on, depending on the image"
    middle = median_interval([math.inf if point is None else point for point in found], confidence)
    return f"{ended}, and stays so from {span} ({median_text(middle)})."


def median_text(middle: Interval) -> str:
    """The median share of the steps with its interval; infinity is an image that never settles."""
    if math.isinf(middle.value):
        return "the median image never settles"
    if middle.low < 0.0:
        return f"median {share_text(middle.value)}; too few images for an interval"
    return f"median {share_text(middle.value)}, {share_text(middle.low)} to {share_text(middle.high)}"


def share_text(share: float) -> str:
    """A share of the steps in whole per cent."""
    return "never" if math.isinf(share) else f"{100 * share:.0f}{NBSP}%"


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
    if scorer["source"] == "fitted" and verdict == "confirmed":
        verdict = "not answered"
        text += (
            " This scorer was fitted here on the same kinds of damage: that it passes says that it learnt them, not "
            "that a general CLIP measures clarity."
        )
    return Finding("CLIP's clear and blurry prompts measure how clear a picture is.", verdict, escape(text))
