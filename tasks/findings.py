"""What the measurements say of the source's claims: plain functions from metrics to sentences.

No result is written in advance: verdicts and figures change with the files.
"""

import math

import pandas as pd

from models.intervals import Interval, student_interval
from models.spec import DdpmSpec
from tasks.class_findings import Judge, balance_finding, shapes_finding
from tasks.clip_findings import agreement_finding, gate_finding
from tasks.comparisons import difference
from tasks.evidence import THE_SOURCE, Evidence, VariantEvidence, interval
from tasks.noise_left import GONE, audit_of
from tasks.settling import steps_finding
from tasks.training_findings import training_finding
from tasks.verdicts import Finding, Verdict, points, unsigned
from tasks.wording import count, escape, number, number_interval, percent, percent_interval

CLAIMED_LOSS = (0.105, 0.110)
"""Where the source's training loss ends; up to its upper end a loss counts as low."""
ROUNDING = 0.0005
"""Half a unit of the third decimal."""
FULL_TRAINING = 5.0
"""Passes over the training images below which a run is not taken for the full training that the source speaks of. The
source does not say how many it made."""
STILL_FALLING = 0.01
"""By what share the validation loss falls between the last two snapshots of a training taken for unfinished."""
JUDGES: tuple[Judge, ...] = ("critic", "clip")
SMALL_GAP = 0.1
"""A shortfall of class accuracy behind real images up to which samples count as good."""


def findings(
    evidence: Evidence, recognition: pd.DataFrame, agreement: pd.DataFrame, confidence: float
) -> list[Finding]:
    """Every claim of the source that this build can speak to, in the order of the report.

    A verdict rests on the variant that shares what the source fixes, and on no other: what other variants a build has
    must not change it. Their figures stand beside it.

    Args:
        evidence: the build's measurements.
        recognition: see :func:`tasks.recognition.recognition_table`.
        agreement: see :func:`tasks.agreement.agreement_table`.
        confidence: of all intervals.
    """
    found = [schedule_finding(evidence), loss_finding(evidence, confidence), validation_finding(evidence)]
    found += [loss_quality_finding(evidence), training_finding(evidence, recognition, confidence)]
    found += [steps_finding(evidence, recognition, confidence), gate_finding(evidence)]
    found.append(agreement_finding(evidence, agreement))
    found += [shapes_finding(evidence, judge) for judge in JUDGES]
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
        f"The last step keeps {percent(left.amplitude)} of the signal's amplitude, a signal-to-noise ratio of "
        f"{number(left.snr)} and a mean pixel of {number(left.mean_shift)} where N(0, I) has "
        f"0; an amplitude below {percent(GONE)} would count as pure noise."
    )
    return Finding("The last step of the forward process is pure noise.", verdict, escape(text), "noise")


def loss_finding(evidence: Evidence, confidence: float) -> Finding | None:
    """The source's training loss: from above 1 to 0.105-0.110; not answered by a run too short to be its training.

    Nor is it where the interval of the loss's end reaches over an end of that band.
    """
    variant = evidence.source_variant()
    if variant is None:
        return None
    first, last = variant.train["train_loss_first"], final_loss(variant, confidence)
    low, high = CLAIMED_LOSS
    verdict = _loss_verdict(first, last)
    text = (
        f"{variant.spec.title}, one run: {number(first)} at the first step, {_number_known(last)} over the last tenth "
        f"of the steps, after {evidence.epochs(variant):.1f} epochs; the source's end is {low:.3f} to {high:.3f}."
    )
    if evidence.epochs(variant) < FULL_TRAINING:
        verdict, text = "not answered", f"{text} Fewer than {FULL_TRAINING:g} epochs are not taken for full training."
    elif last.value > high and (fall := _last_fall(variant)) > STILL_FALLING:
        verdict = "not answered"
        text = f"{text} The validation loss still fell, by {percent(fall)} since the last snapshot but one."
    elif verdict == "not answered":
        text = f"{text} The interval reaches over an end of that."
    needs = f"at least {FULL_TRAINING:g} epochs of {variant.spec.title}, until its loss falls no more"
    return Finding("The training loss falls from above 1 to 0.105-0.110.", verdict, escape(text), "loss", needs)


def final_loss(variant: VariantEvidence, confidence: float) -> Interval:
    """Where a variant's training loss ended; without bounds where a single row of its history tells of it."""
    value, error, degrees = (variant.train[f"train_loss_final{part}"] for part in ("", "_error", "_degrees"))
    return student_interval(value, error, degrees, confidence)


def _loss_verdict(first: float, last: Interval) -> Verdict:
    """What the losses of a full training say, for whose end the source gives three decimals."""
    low, high = CLAIMED_LOSS[0] - ROUNDING, CLAIMED_LOSS[1] + ROUNDING
    if last.low < low <= last.high or last.low <= high < last.high:
        return "not answered"
    if first > 1 and low <= last.value <= high:
        return "confirmed"
    return "confirmed in part" if last.value < first else "refuted"


def _number_known(value: Interval) -> str:
    """A number with its interval where it has one."""
    return number_interval(value) if math.isfinite(value.high) else number(value.value)


def validation_finding(evidence: Evidence) -> Finding:
    """Whether the validation loss falls from the first snapshot to the end; not answered where these are the same."""
    source = evidence.source_variant()
    parts = [_validation_text(evidence, variant) for variant in evidence.trained() if not variant.jumps]
    text = (
        f"From the first snapshot to the end. {'; '.join(parts)}. One run a model, always on the same held-out "
        "images with the same noise; these figures have no interval."
    )
    verdict: Verdict = "not answered"
    needs = THE_SOURCE
    if source and len(source.train["snapshots"]) == 1:
        text, needs = f"{text} A single snapshot shows no change.", f"several snapshots of {source.spec.title}"
    elif source:
        first, last = _validation_ends(source)
        verdict = "confirmed" if last < first else "refuted"
    return Finding("The validation loss falls too.", verdict, escape(text), "validation", needs)


def _last_fall(variant: VariantEvidence) -> float:
    """By what share the validation loss fell from the last snapshot but one to the last; 0 with a single one."""
    losses = [snapshot["val_loss"] for snapshot in variant.train["snapshots"][-2:]]
    return float(1.0 - losses[-1] / losses[0])


def _validation_ends(variant: VariantEvidence) -> tuple[float, float]:
    return variant.train["snapshots"][0]["val_loss"], variant.train["val_loss_final"]


def _validation_text(evidence: Evidence, variant: VariantEvidence) -> str:
    first, last = map(number, _validation_ends(variant))
    return f"{variant.spec.title}: {first} to {last} on {count(evidence.held_out(variant))} images"


def loss_quality_finding(evidence: Evidence) -> Finding | None:
    """Whether the source's low loss goes with recognisable samples; not answered where the loss did not get low."""
    variant = evidence.source_variant()
    if variant is None:
        return None
    made, real = interval(variant.evaluate["accuracy"]), interval(evidence.real().critic["accuracy"])
    gap, loss, low = difference(real, made), variant.train["val_loss_final"], CLAIMED_LOSS[1]
    verdict: Verdict = "refuted" if gap.low > SMALL_GAP else "confirmed" if gap.high < SMALL_GAP else "not answered"
    text = (
        f"{variant.spec.title} ends at a validation loss of {number(loss)}; {percent_interval(made)} of its "
        f"{count(variant.evaluate['num_images'])} samples are recognised, of real images {percent_interval(real)}: "
        f"a gap of {unsigned(points(gap))}, where one of less than {100 * SMALL_GAP:g} points would count as good."
    )
    needs = f"more samples of {variant.spec.title}"
    if round(loss, 3) > low:
        verdict, text = "not answered", f"{text} A loss above the source's {low:.3f} is not taken for low."
        needs = f"a validation loss of {low:.3f} or less of {variant.spec.title}"
    return Finding("A low loss means good samples.", verdict, escape(text), "low_loss", needs)
