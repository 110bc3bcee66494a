"""What a training changes in the samples that were followed through it, image by image, from the same noise."""

from dataclasses import dataclass

import pandas as pd

from models.intervals import wilson
from models.paired import mcnemar_exact
from tasks.evidence import THE_SOURCE, Evidence
from tasks.verdicts import Finding, Verdict
from tasks.wording import NBSP, Markdown, chance, count, escape, listed, percent_interval


def training_finding(evidence: Evidence, recognition: pd.DataFrame, confidence: float) -> Finding:
    """Whether samples become recognisable as training goes on, from the same noise; compared image by image.

    Only those that change between the first look and the last one count (McNemar 1947).
    """
    source, trained = evidence.source_variant(), evidence.trained()
    parts = [f"{v.spec.title}: {training_change(recognition, v.name).text(confidence)}" for v in trained]
    text = f"Clear is read as recognised by the critic, before and after training. {'; '.join(parts)}."
    claim = "Samples go from noise to clear garments over the training."
    if source is None:
        return Finding(claim, "not answered", escape(text), "training", THE_SOURCE)
    verdict = training_change(recognition, source.name).verdict(confidence)
    needs = f"a longer training of {source.spec.title}, or more images followed through it"
    return Finding(claim, verdict, escape(text), "training", needs)


@dataclass(frozen=True, slots=True)
class TrainingChange:
    """Of the images that were followed through a training, how many are recognised when.

    Attributes:
        before: by the untrained weights.
        after: at the end.
        won: at the end alone.
        lost: before the training alone.
        images: how many were followed.
    """

    before: int
    after: int
    won: int
    lost: int
    images: int

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test that the training changes nothing."""
        return mcnemar_exact(self.won, self.lost)

    def verdict(self, confidence: float) -> Verdict:
        """Whether more become recognised than cease to be, or fewer, beyond chance."""
        if self.p_value >= 1 - confidence:
            return "not answered"
        return "confirmed" if self.won > self.lost else "refuted"

    def text(self, confidence: float) -> str:
        """The counts, the share at the end with its interval, and the test."""
        share = percent_interval(wilson(self.after, self.images, confidence))
        return (
            f"{self.before} of {self.images} before, {self.after} after, which is {share}; "
            f"{self.won} won and {self.lost} lost (p{NBSP}{chance(self.p_value)})"
        )


def training_change(recognition: pd.DataFrame, variant: str) -> TrainingChange:
    """What a variant's training changed, from :func:`tasks.recognition.recognition_table`."""
    rows = recognition[(recognition["variant"] == variant) & (recognition["along"] == "training")]
    looks = rows.pivot_table(index="image", columns="position", values="guess")
    before, after = looks[looks.columns.min()] == 1, looks[looks.columns.max()] == 1
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return TrainingChange(int(before.sum()), int(after.sum()), won, lost, len(looks))


def head_start_text(evidence: Evidence, recognition: pd.DataFrame) -> Markdown | None:
    """How many samples a closed-form guess gets right before any training; None where no model has such a guess."""
    guessing = [variant for variant in evidence.trained() if variant.mends_mixture]
    if not guessing:
        return None
    found = [(variant.spec.title, training_change(recognition, variant.name)) for variant in guessing]
    parts = [f"{count(change.before)} of {count(change.images)} samples of {title}" for title, change in found]
    text = (
        f"Before any training, the closed-form guess that the network is given to mend already has {listed(parts)} "
        "recognised: class accuracy alone does not show what the network adds."
    )
    return escape(text)
