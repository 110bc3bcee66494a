"""When garments become recognisable: looks, medians with intervals, and a verdict that says which picture it means."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from models.intervals import Interval
from tasks.evidence import THE_SOURCE, Evidence, read_evidence
from tasks.settling import (
    Settling,
    looks_text,
    settled_median,
    settling_points,
    settling_text,
    steps_finding,
    steps_verdict,
)
from tasks.wording import escape
from tests.tasks.report_workspace import build_workspace

NEVER = 2.0


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def paths_table(picture: Sequence[float], guess: Sequence[float] | None = None) -> pd.DataFrame:
    """The course's reverse process, seen every tenth of the way; each image is recognised from its own share on."""
    rows = [
        ("course", "reverse", step / 10, image, int(step / 10 >= seen - 1e-9), int(step / 10 >= guessed - 1e-9))
        for image, (seen, guessed) in enumerate(zip(picture, guess or picture, strict=True))
        for step in range(11)
    ]
    return pd.DataFrame(rows, columns=["variant", "along", "position", "image", "noisy", "guess"])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([0, 1, 1], Settling(0.0, 0.5)),
        ([1, 0, 1], Settling(0.5, 1.0)),
        ([1, 1, 1], Settling(0.0, 0.0)),
        ([1, 1, 0], Settling(math.inf, math.inf)),
    ],
)
def test_an_image_settles_between_its_last_miss_and_the_next_look(answers: list[int], expected: Settling) -> None:
    table = pd.DataFrame({"image": 0, "position": [0.0, 0.5, 1.0], "noisy": answers, "guess": 1})
    assert settling_points(table.sample(frac=1, random_state=0), "noisy") == [expected]
    assert settling_points(table, "guess") == [Settling(0.0, 0.0)]


def test_a_model_is_looked_at_after_each_of_few_steps_or_every_tenth_of_many() -> None:
    assert looks_text(paths_table([0.6] * 2), 100) == "after every tenth of the reverse steps"
    assert looks_text(paths_table([0.6] * 2), 10) == "after each of its 10 reverse steps"


def test_the_median_is_widened_by_the_distance_between_looks() -> None:
    found = settled_median(settling_points(paths_table([0.6] * 10), "noisy"), 0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.5, 0.6))


@pytest.mark.parametrize(
    ("picture", "guess", "verdict"),
    [
        ([0.6] * 10, [0.1] * 10, "confirmed"),
        ([0.6] * 5 + [0.7] * 5, [0.1] * 10, "confirmed"),
        ([0.5] * 10, [0.1] * 10, "not answered"),  # may have come before the look at 50 %
        ([0.6] * 5 + [0.8] * 5, [0.1] * 10, "not answered"),
        ([0.4] * 10, [0.1] * 10, "refuted"),
        ([0.9] * 10, [0.1] * 10, "not answered"),  # the critic may be late where an eye is not
        ([0.9] * 10, [0.8] * 10, "refuted"),  # even the guess comes after 70 %
        ([0.6] * 4 + [NEVER] * 6, [0.1] * 4 + [NEVER] * 6, "not answered"),
        ([0.6] * 3, [0.1] * 3, "not answered"),  # too few images for an interval
    ],
)
def test_the_verdict_is_on_the_noisy_picture(
    evidence: Evidence, picture: list[float], guess: list[float], verdict: str
) -> None:
    assert steps_finding(evidence, paths_table(picture, guess), 0.95).verdict == verdict


def test_more_images_can_answer_what_few_cannot() -> None:
    shares = [0.5] * 2 + [0.6] * 3 + [0.7] * 3 + [0.8] * 2
    few, many = (settled_median(settling_points(paths_table(shares * k), "noisy"), 0.95) for k in (1, 10))
    early = Interval(0.1, 0.0, 0.1)
    assert (steps_verdict(few, early), steps_verdict(many, early)) == ("not answered", "confirmed")


def test_the_text_says_which_picture_is_meant_how_many_images_there_are_and_how_sure_it_is(evidence: Evidence) -> None:
    found = steps_finding(evidence, paths_table([0.6] * 5 + [0.7] * 3 + [NEVER] * 2, [0.2] * 8 + [NEVER] * 2), 0.95)
    assert escape("8 of 10 samples recognised at the end.") in found.text
    assert (
        escape("noisy picture is recognised for good from somewhere between 60\u00a0% and 70\u00a0% of") in found.text
    )
    assert escape("the steps on (median of all samples 60\u00a0%, interval 50\u00a0% to never)") in found.text
    assert (
        escape("guess of the result from 20\u00a0% of the steps on (median of all samples 20\u00a0%, interval 10")
        in found.text
    )
    assert escape("The claim is read as one on the noisy picture.") in found.text


def test_few_and_failed_images_are_told() -> None:
    assert "too few images for an interval" in settling_text(paths_table([0.6] * 3), 0.95)
    assert settling_text(paths_table([NEVER] * 3), 0.95) == "none of 3 samples recognised at the end."
    assert "median of all samples: never" in settling_text(paths_table([0.6] + [NEVER] * 2), 0.95)


def test_without_the_sources_system_its_claim_is_not_answered_and_the_report_says_why(evidence: Evidence) -> None:
    other = replace(evidence, variants=evidence.variants[1:])
    found = steps_finding(other, paths_table([0.6] * 10).assign(variant="flagship"), 0.95)
    assert (found.verdict, found.lacks) == ("not answered", THE_SOURCE)
    assert escape("a claim about the source's steps") in found.text
