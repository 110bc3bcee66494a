"""The gate: whether CLIP's trial on real images gives reason to believe its scores."""

import math
from dataclasses import asdict, replace

from tasks.evidence import Evidence, Json
from tasks.params import ScorerGate

FITTED_ON = ("auc_clear_blurry", "auc_clear_noisy")
HELD_OUT_BLURS = ("box_blur", "motion_blur")
"""The held-out kinds that the gate asks for. The others are no blur, which is what the prompts name: pixelation adds
edges, salt and pepper is noise. They are reported, to show how far the scorer reaches. Of the two blurs, the box is new
by its kernel and may not be by its strength (:func:`box_blur_note`); motion blur, along rows alone, is new in kind."""


def with_gate(evidence: Evidence, asked: ScorerGate) -> Evidence:
    """The evidence with ``gate`` added to the scorer's results: what was asked, and whether it was reached.

    The thresholds are applied where they are reported, so that changing one reruns the report and nothing else.
    """
    gate = {"passed": passes(evidence.scorer, asked)} | asdict(asked)
    return replace(evidence, scorer={**evidence.scorer, "gate": gate})


def passes(scorer: Json, asked: ScorerGate) -> bool:
    """Whether the scorer names classes and ranks clear pictures above damaged ones well enough.

    The damage is Gaussian blur and noise, which a scorer fitted here was taught, and two kinds of blur which it was
    not. Every figure itself must reach what is asked, not its interval's lower end.

    Args:
        scorer: the scorer's metrics; see :func:`tasks.scorer_trial.trial_figures`.
        asked: the least accuracy, and the least AUC for each kind of damage.
    """
    areas = [scorer[key] for key in FITTED_ON] + [scorer["held_out"][kind] for kind in HELD_OUT_BLURS]
    told_apart = all(area["value"] >= asked.auc for area in areas)
    return told_apart and bool(scorer["zero_shot_accuracy"]["value"] >= asked.zero_shot_accuracy)


def box_blur_note(scorer: Json, fitted: tuple[float, float]) -> str:
    """How far box blur is new to a scorer that was fitted here; nothing for one that was not.

    A square of side s spreads light along each axis with the variance (s^2 - 1) / 12 of s equal steps.

    Args:
        scorer: its metrics.
        fitted: the range of standard deviations of the Gaussian blur in fitting, in pixels.
    """
    if scorer["source"] != "fitted":
        return ""
    side, (low, high) = scorer["held_out"]["box_blur"]["strength"], fitted
    sigma = math.sqrt((side**2 - 1) / 12)
    where, new = ("within", ": its kernel is new, its width is not") if low <= sigma <= high else ("outside", "")
    return (
        f"A box of {side} px spreads light along each axis with a standard deviation of {sigma:.2f} px, {where} the "
        f"{low:g} to {high:g} px of the fitted Gaussian blur{new}."
    )
