"""How far CLIP's scores can be believed: on real images, where the truth is known, and beside the critic on samples."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.intervals import Interval
from tasks.evidence import THE_SOURCE, Evidence, Json, interval
from tasks.verdicts import Finding, Verdict, sign_verdict
from tasks.wording import count, escape, listed, number_interval, percent_interval

CHANCE = 0.5
"""Area under the ROC curve of scores that say nothing."""
TRUSTED_CLIP = "a CLIP model that was not fitted here and passes its test on real images"
"""What a build must have to answer what the source says of CLIP."""


def gate_finding(evidence: Evidence) -> Finding:
    """Whether CLIP can tell clear from blurry on real images, where the truth is known."""
    scorer, asked = evidence.scorer, evidence.scorer["gate"]["auc"]
    blurs = {"Gaussian blur": scorer["auc_clear_blurry"], "motion blur": scorer["held_out"]["motion_blur"]}
    areas = [interval(block) for block in blurs.values()]
    named = percent_interval(interval(scorer["zero_shot_accuracy"]))
    told_apart = listed([f"{area_text(block)} under {name}" for name, block in blurs.items()])
    text = (
        f"On {count(scorer['num_test'])} real test images it names the class of {named} and ranks a clear picture "
        f"above a blurred one with an AUC of {told_apart}; asked are {asked:g}, and {CHANCE:g} is chance."
    )
    reached = all(area.low >= asked for area in areas)
    verdict: Verdict = "confirmed" if reached else "refuted" if any(a.high < asked for a in areas) else "not answered"
    if not scorer["gate"]["passed"]:
        verdict, text = "not answered" if reached else verdict, f"{text} It failed its test as a whole."
    elif scorer["source"] == "fitted":
        verdict = "not answered"
        text += (
            " This scorer was fitted here on Gaussian blur, and motion blur was new to it: that it passes says that it "
            "tells clear garments from blurred ones beyond what it was taught, not that a general CLIP does."
        )
    claim = "CLIP's clear and blurry prompts measure how clear a picture is."
    return Finding(claim, verdict, escape(text), "clip", TRUSTED_CLIP)


def reservation(evidence: Evidence) -> str:
    """Why this build's CLIP model answers no claim of the source about CLIP's scores; empty if it may.

    The source speaks of a CLIP that was fitted on other pictures than these.
    """
    if not evidence.scorer["gate"]["passed"]:
        return "This CLIP model failed its test on real images."
    fitted = evidence.scorer["source"] == "fitted"
    return "This CLIP model was fitted here; the source speaks of ViT-B/32." if fitted else ""


def agreement_finding(evidence: Evidence, agreement: pd.DataFrame) -> Finding:
    """Whether samples that CLIP scores high are those that the critic recognises.

    Args:
        evidence: the build's measurements.
        agreement: see :func:`tasks.agreement.agreement_table`.
    """
    rows: dict[Any, Any] = agreement.set_index("variant").to_dict("index")
    areas = {name: row for name, row in rows.items() if pd.notna(row["value"])}
    parts = [
        f"{v.spec.title} {_agreement_text(areas[v.name]) if v.name in areas else 'too few to rank'}"
        for v in evidence.variants
    ]
    text = (
        f"Of two samples of one class, of which the critic recognises just one, chance that CLIP gives that one the "
        f"larger good and clear shares, over the classes that have several of both: {'; '.join(parts)}. "
        f"{CHANCE:g} says nothing; less would mean that CLIP prefers what the critic does not recognise."
    )
    verdict, needs = _agreement_verdict(evidence, areas)
    if doubt := reservation(evidence):
        verdict, text, needs = "not answered", f"{text} {doubt}", TRUSTED_CLIP
    claim = "High good and clear scores go with recognisable samples, high blurry scores with poor ones."
    return Finding(claim, verdict, escape(text), "agreement", needs)


def _agreement_verdict(evidence: Evidence, areas: Mapping[Any, Json]) -> tuple[Verdict, str]:
    """The verdict, and what it takes to have one."""
    source = evidence.source_variant()
    if source is None:
        return "not answered", THE_SOURCE
    needs = f"more samples of {source.spec.title}, recognised ones and others"
    if source.name not in areas:
        return "not answered", needs
    return sign_verdict(Interval(*(areas[source.name][key] - CHANCE for key in ("value", "low", "high")))), needs


def _agreement_text(row: Json) -> str:
    side = ", below chance" if row["high"] < CHANCE else ""
    return f"{area_text(row)}{side}, from {count(row['right'])} recognised and {count(row['wrong'])} not"


def area_text(block: Json) -> str:
    """An area under the ROC curve with its interval."""
    return number_interval(interval(block))
