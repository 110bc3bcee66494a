"""The gate opens to a scorer that reaches everything asked, and its thresholds are read where it is reported."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.degrade import box_blur
from tasks.evidence import Evidence, read_evidence
from tasks.gate import box_blur_note, passes, with_gate
from tasks.params import ScorerGate
from tasks.report_tables import scorer_table
from tasks.wording import escape
from tests.tasks.report_workspace import build_workspace

ASKED = ScorerGate(zero_shot_accuracy=0.5, auc=0.8)


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def figures(accuracy: float = 0.5, **areas: float) -> dict[str, Any]:
    """A scorer's metrics at the thresholds of ``ASKED``, except for the areas given."""
    named = {key: {"value": areas.get(key, 0.8)} for key in ("auc_clear_blurry", "auc_clear_noisy")}
    kinds = ("box_blur", "motion_blur", "pixelation", "salt_and_pepper")
    held_out = {kind: {"value": areas.get(kind, 0.8)} for kind in kinds}
    return {"zero_shot_accuracy": {"value": accuracy}, **named, "held_out": held_out}


def test_gate_opens_at_what_is_asked() -> None:
    assert passes(figures(), ASKED)
    assert not passes(figures(accuracy=0.49), ASKED)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("auc_clear_blurry", True),
        ("auc_clear_noisy", True),
        ("box_blur", True),
        ("motion_blur", True),
        ("pixelation", False),
        ("salt_and_pepper", False),
    ],
)
def test_gate_asks_for_the_fitted_damage_and_the_held_out_blurs(kind: str, asked: bool) -> None:
    assert passes(figures(**{kind: 0.79}), ASKED) is not asked


def test_thresholds_decide_over_the_same_measurements(evidence: Evidence) -> None:
    opened = with_gate(evidence, ASKED).scorer["gate"]
    assert opened == {"passed": True, "zero_shot_accuracy": 0.5, "auc": 0.8}
    shut = with_gate(evidence, ScorerGate(zero_shot_accuracy=0.5, auc=0.95)).scorer["gate"]
    assert shut == {"passed": False, "zero_shot_accuracy": 0.5, "auc": 0.95}
    assert "gate" not in evidence.scorer


def row_of(table: str, start: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(f"| {escape(start)}"))


def test_table_says_what_was_measured_and_asked(evidence: Evidence) -> None:
    table = scorer_table(with_gate(evidence, ScorerGate(zero_shot_accuracy=0.5, auc=0.85)))
    assert escape("at least 50.0\u00a0%") in row_of(table, "Class named")
    kinds = ("Gaussian blur", "Gaussian noise", "box blur of 5 px, not seen", "motion blur of 5 px, not seen")
    asked = [line for line in table.splitlines() if escape("at least 0.85") in line]
    assert asked == [row_of(table, f"Clear above {kind}") for kind in kinds]
    pixelated = row_of(table, "Clear above pixelation in blocks of 4 px")
    assert escape("0.640 (0.620 to 0.660)") in pixelated
    assert "not asked" in pixelated


@pytest.mark.parametrize(("source", "marked"), [("fitted", 4), ("pretrained", 0), ("folder", 0)])
def test_damage_is_called_unseen_only_where_something_was_fitted(evidence: Evidence, source: str, marked: int) -> None:
    evidence = with_gate(evidence, ASKED)
    evidence.scorer["source"] = source  # type: ignore[index]
    assert scorer_table(evidence).count("not seen in fitting") == marked


@pytest.mark.parametrize(
    ("source", "side", "said"),
    [
        ("fitted", 5, "deviation of 1.41 px, within the 0.8 to 2 px of the fitted Gaussian blur: its kernel is new"),
        ("fitted", 9, "deviation of 2.58 px, outside the 0.8 to 2 px"),
        ("pretrained", 5, ""),
    ],
)
def test_a_box_as_wide_as_a_fitted_blur_is_not_called_wholly_new(source: str, side: int, said: str) -> None:
    scorer = {"source": source, "held_out": {"box_blur": {"strength": side}}}
    note = box_blur_note(scorer, (0.8, 2.0))
    assert said in note
    assert bool(note) == bool(said)


def test_the_width_of_a_box_is_that_of_its_light() -> None:
    """A point under a box spreads to offsets whose root mean square along an axis is what the note says."""
    dot = torch.zeros(1, 1, 21, 21)
    dot[0, 0, 10, 10] = 1.0
    offsets = torch.arange(21) - 10.0
    sigma = (box_blur(dot, 7)[0, 0].sum(dim=0) * offsets**2).sum().sqrt().item()
    scorer = {"source": "fitted", "held_out": {"box_blur": {"strength": 7}}}
    assert f"of {sigma:.2f} px" in box_blur_note(scorer, (0.8, 2.0))
