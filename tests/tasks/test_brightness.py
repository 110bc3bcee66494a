"""The brightness of samples against closed forms, and its table against the rows that it came from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.brightness import REAL, brightness_table
from tasks.brightness_findings import brightness_rows
from tasks.config import load_params
from tasks.errors import MissingResourceError
from tasks.evidence import read_evidence
from tasks.files import write_arrays
from tasks.paths import artifact, split_file
from tests.tasks.report_workspace import ROOT, build_workspace

EVALUATE = replace(load_params(ROOT / "params.yaml").evaluate, bootstrap=400, confidence=0.95)
LABELS = np.repeat(np.arange(10), 20)


def flat(levels: np.ndarray) -> np.ndarray:
    """Images of one grey level each."""
    return np.broadcast_to(levels[:, None, None], (len(levels), 28, 28)).astype(np.uint8)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Samples of a model whose classes differ in brightness but not within, and test images all alike."""
    monkeypatch.chdir(tmp_path)
    write_arrays(artifact("stepped", "samples.npz"), {"images": flat(20 * LABELS), "labels": LABELS, "seeds": LABELS})
    write_arrays(split_file("test"), {"images": flat(np.full(200, 102)), "labels": LABELS})
    return tmp_path


def test_mean_and_deviation_are_those_of_the_images(workspace: Path) -> None:
    """Resampled within classes, images that are alike in each class leave no doubt."""
    stepped, real = brightness_table(["stepped"], EVALUATE, 3).to_dict("records")
    assert (stepped["name"], real["name"]) == ("stepped", REAL)
    deviation = (20 * LABELS / 255.0).std(ddof=1)
    for key, value in (("mean", 90.0 / 255.0), ("deviation", deviation)):
        assert [stepped[f"{key}{end}"] for end in ("", "_low", "_high")] == pytest.approx([value] * 3, abs=1e-12)
    assert (real["mean"], real["deviation"]) == pytest.approx((0.4, 0.0), abs=1e-12)


def test_the_interval_of_the_mean_is_as_wide_as_the_central_limit_theorem_says(workspace: Path) -> None:
    levels = np.random.default_rng(5).integers(0, 256, 200)
    write_arrays(artifact("noisy", "samples.npz"), {"images": flat(levels), "labels": LABELS, "seeds": LABELS})
    noisy, _ = brightness_table(["noisy"], EVALUATE, 3).to_dict("records")
    within = np.mean([(levels[label == LABELS] / 255.0).var() for label in range(10)])
    assert noisy["mean_high"] - noisy["mean_low"] == pytest.approx(2 * 1.96 * (within / 200) ** 0.5, rel=0.15)
    assert noisy["deviation_low"] < noisy["deviation"] < noisy["deviation_high"]


def test_equal_seeds_give_equal_tables(workspace: Path) -> None:
    assert brightness_table(["stepped"], EVALUATE, 3).equals(brightness_table(["stepped"], EVALUATE, 3))


def test_a_model_that_was_not_sampled_is_named(workspace: Path) -> None:
    with pytest.raises(MissingResourceError, match="absent"):
        brightness_table(["absent"], EVALUATE, 3)


def test_the_reports_rows_are_the_models_and_real_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = build_workspace()
    table = brightness_table(list(params.variants), EVALUATE, params.seed)
    text = brightness_rows(read_evidence(params.variants), table).replace("\\", "")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    titles = [line.split("|")[1].strip() for line in lines[2:]]
    assert titles == ["**Course DDPM**", "**Flagship**", "Real test images"]
    assert f"{table['mean'].iloc[-1]:.3f}" in lines[-1]
