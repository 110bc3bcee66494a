"""Models that were computed differently are told apart, and named where they are compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.alike import computed_alike, mixture_text
from tasks.evidence import Evidence, VariantEvidence, read_evidence
from tests.tasks.report_workspace import build_workspace

NAMED = "The models were not computed alike, from which a part of their differences may come: "


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.chdir(tmp_path)
    return read_evidence(build_workspace().variants)


def computed(variant: VariantEvidence, stage: str, **environment: object) -> VariantEvidence:
    """The variant as if that stage of it had run in another environment."""
    summary = getattr(variant, stage)
    return replace(variant, **{stage: {**summary, "environment": {**summary["environment"], **environment}}})


@pytest.mark.parametrize("stage", ["train", "sample"])
@pytest.mark.parametrize(
    ("environment", "alike"),
    [
        ({"device": "cuda"}, False),
        ({"precision": "bfloat16"}, False),
        ({"torch": "1.0", "threads": 7, "device_name": "another"}, True),
    ],
    ids=["device", "precision", "others"],
)
def test_device_and_precision_of_either_stage_count(
    stage: str, environment: dict[str, object], alike: bool, evidence: Evidence
) -> None:
    course, flagship = evidence.variants
    other = computed(flagship, stage, **environment)
    assert computed_alike(course, flagship)
    assert computed_alike(course, other) is computed_alike(other, course) is alike
    assert (mixture_text(replace(evidence, variants=(course, other))) is None) is alike


def test_a_mixture_is_one_sentence_that_names_every_model(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    twin = replace(course, spec=replace(course.spec, title="Twin <b>"))
    other = computed(computed(flagship, "train", precision="bfloat16"), "sample", device="cuda")
    found = mixture_text(replace(evidence, variants=(course, other, twin)))
    assert found is not None
    assert r"Twin \<b\>" in found
    assert found.replace("\\", "") == (
        f"{NAMED}Course DDPM and Twin <b> trained and sampled on the CPU in float32; "
        "Flagship trained on the CPU in bfloat16 and sampled on a GPU in float32."
    )


def test_a_single_model_is_no_mixture(evidence: Evidence) -> None:
    other = computed(evidence.variants[0], "train", precision="bfloat16")
    assert mixture_text(replace(evidence, variants=(other,))) is None
