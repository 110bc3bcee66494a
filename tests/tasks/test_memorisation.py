"""A model that returns training images is found out; one that draws new ones is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.intervals import wilson
from tasks.dataset import load_split
from tasks.evidence import Evidence, read_evidence
from tasks.memorisation import memorisation_block
from tasks.memorisation_findings import memorisation_table, memorisation_text
from tests.tasks.report_workspace import build_workspace


@pytest.mark.usefixtures("workspace")
def test_training_images_are_copies_and_noise_is_none() -> None:
    copied = memorisation_block(load_split("train").images[:50], 0.95)
    assert copied["copies"]["value"] == 1.0
    assert (copied["identical"], copied["distance"]) == (50, 0.0)
    noise = torch.randint(0, 256, (50, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    new = memorisation_block(noise, 0.95)
    assert (new["copies"]["value"], new["identical"]) == (0.0, 0)
    assert new["distance"] > 50.0


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """What an invented build measured."""
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def copies(found: int) -> dict[str, Any]:
    return {"copies": wilson(found, 1000, 0.95).to_json(), "identical": 3, "distance": 21.5}


def test_the_table_has_every_variant_and_real_test_images(evidence: Evidence) -> None:
    lines = memorisation_table(evidence).splitlines()
    assert len(lines) == 2 + len(evidence.variants) + 1
    assert "Real test images" in lines[-1]


def alarm(evidence: Evidence, *found: int) -> str:
    """What is said of variants with so many copies among 1,000 images, beside real images with 10."""
    measured = [
        replace(variant, evaluate={**variant.evaluate, "num_images": 1000, "memorisation": copies(count)})
        for variant, count in zip(evidence.variants, found, strict=False)
    ]
    real = {**evidence.references, "num_images": 1000, "memorisation": copies(10)}
    return memorisation_text(replace(evidence, references=real, variants=tuple(measured)), 0.95)


def test_only_a_share_resolvably_above_that_of_real_images_is_an_alarm(evidence: Evidence) -> None:
    """Newcombe's interval of the difference to 10 of 1,000 excludes 0 from 22 of 1,000 on."""
    assert "No model" in alarm(evidence, 21)
    assert alarm(evidence, 22) == f"More copies than among real test images\\: {evidence.variants[0].spec.title}\\."


def test_the_more_models_there_are_the_more_copies_one_of_them_needs_for_an_alarm(evidence: Evidence) -> None:
    """At 97.5 % for each of two, which hold at once at 95 %, from 24 of 1,000 on."""
    assert "No model" in alarm(evidence, 23, 10)
    assert alarm(evidence, 23, 24) == f"More copies than among real test images\\: {evidence.variants[1].spec.title}\\."
