"""The judges beside the critic learn the classes, stay the same, and judge what the models of a build draw."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from benchmarks import outside, outside_judges
from benchmarks.outside import Drawn, drawn_by, page, references
from benchmarks.outside_judges import FEATURES, HELD_BACK, MAKERS, Halved, ResidualBlock, fitted
from benchmarks.outside_judges import outside_judges as judges_of
from tasks.config import PARAMS as PARAMS_FILE
from tasks.dataset import load_split
from tasks.errors import ConfigError, MissingResourceError
from tasks.files import write_json, write_text
from tasks.judge import Judge, as_input
from tasks.paths import metrics_file
from tasks.sample import run_sampling
from tasks.samples import load_samples
from tasks.train import run_training
from tests.benchmarks.test_growth import SAMPLE, SETUP
from tests.tasks.small_critic import ROOT
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, SEED

DEVICE = torch.device("cpu")
PARAMS = replace(SETUP.params, variants={"flagship": FLAGSHIP, "course": COURSE})


@pytest.mark.parametrize("name", MAKERS)
def test_a_judge_learns_the_classes_and_tells_normalised_features(name: str, workspace: Path) -> None:
    split, test = load_split("train"), load_split("test")
    network = fitted(name, split, DEVICE, steps=40)
    with torch.no_grad():
        _, features = network(as_input(split.images[:100]))  # still in training, where the batch is its own measure
    assert features.shape == (100, FEATURES)
    assert_close(features.mean(dim=0), torch.zeros(FEATURES), atol=1e-4, rtol=0.0)
    assert_close(features.var(dim=0, correction=0), torch.ones(FEATURES), atol=2e-2, rtol=0.0)
    _, logits = Judge(network, DEVICE).features_and_logits(test.images)
    assert (logits.argmax(dim=1) == test.labels).double().mean().item() > 0.5


def test_a_judge_is_the_same_every_time_and_the_global_generator_stays(workspace: Path) -> None:
    split = load_split("train")
    before = torch.default_generator.get_state()
    first, second = (fitted("a residual network", split, DEVICE, steps=2).state_dict() for _ in range(2))
    assert torch.equal(torch.default_generator.get_state(), before)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("side", [14, 7])
def test_what_is_halved_leaves_out_the_last_of_an_odd_number(side: int) -> None:
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Halved()(x), F.max_pool2d(x, 2))


def test_the_judge_that_was_held_back_is_one_of_them() -> None:
    assert HELD_BACK in MAKERS


def test_a_block_whose_way_says_nothing_passes_its_map_on() -> None:
    same, other = ResidualBlock(8, 8, 1), ResidualBlock(8, 16, 2)
    last = same.way[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(same(x), x)
    assert other(x).shape == (2, 16, 3, 3)


def test_judges_are_trained_once_and_anew_on_other_images(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def noted(name: str, *_: object) -> nn.Module:
        made.append(name)
        return MAKERS[name]()

    monkeypatch.setattr(outside_judges, "fitted", noted)
    first, second = judges_of(DEVICE), judges_of(DEVICE)
    assert list(first) == list(MAKERS) == made
    images = load_split("test").images
    for name, judge in first.items():
        assert_close(judge.features_and_logits(images), second[name].features_and_logits(images))
    (workspace / "data" / "prepared" / "val.npz").replace(workspace / "data" / "prepared" / "train.npz")
    judges_of(DEVICE)
    assert made == [*MAKERS, *MAKERS]


def test_a_model_draws_the_images_of_its_stage(workspace: Path) -> None:
    run_training("flagship", FLAGSHIP, CPU, SEED)
    run_sampling("flagship", FLAGSHIP, SAMPLE, CPU, SEED)
    drawn = drawn_by("flagship", PARAMS, 100)
    samples = load_samples("flagship")
    np.testing.assert_array_equal(drawn.images, samples.images.numpy())
    np.testing.assert_array_equal(drawn.labels, samples.labels.numpy())
    assert (drawn.title, drawn.evaluations) == (FLAGSHIP.title, 4)
    assert drawn.settings == "16/16 channels, 12 steps of 16, Muon, DPM-Solver++(2M)"
    assert drawn.asked_at == "2, 0.59, 0.13, 0.02"
    assert min(drawn.training_s, drawn.images_per_second) > 0.0


def run_main(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> str:
    monkeypatch.setattr(outside, "RESULTS", folder / "OUTSIDE.md")
    monkeypatch.setattr("benchmarks.drawers.prepare_environment", lambda: None)
    monkeypatch.setattr(outside, "log_to_stderr", lambda: None)
    monkeypatch.setattr(outside, "load_params", lambda: PARAMS)
    monkeypatch.setattr(sys, "argv", ["outside", *options])
    write_json(metrics_file("prepare"), {"drawn": True})
    write_text(PARAMS_FILE, (ROOT / PARAMS_FILE).read_text())  # which the page marks
    outside.main()
    return outside.RESULTS.read_text()


def test_the_page_holds_models_beside_real_images(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, spec in (("flagship", FLAGSHIP), ("course", COURSE)):
        run_training(name, spec, CPU, SEED)
    monkeypatch.setattr(outside_judges, "fitted", lambda name, *_: fitted(name, load_split("train"), DEVICE, 30))
    text = run_main(monkeypatch, workspace, "flagship", "course", "--images", "100")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    titles = [row[0].removeprefix("| ") for row in rows if row[0] != "| "]
    assert "Small flagship: 100 images drawn, " in capsys.readouterr().err
    judged = ["Small flagship", "Small course", "real test images"]
    assert titles == ["Small flagship", "Small course", *judged * len(MAKERS)]
    for name in MAKERS:
        assert f"## By {name}" in text
    assert f"held to {references()} by 4 classifiers" in " ".join(text.split())
    for place in (2, 5, 8, 11):
        mine = [row for row in rows if row[0] != "| "][place : place + 3]
        fid = [float(row[2].split()[0]) for row in mine]
        assert fid[2] < min(fid[:2])


def test_the_page_tells_figures_with_their_intervals() -> None:
    drawn = Drawn(
        "A model", "8 channels", "2, 0.1", 145.4, 3, 950.6, np.zeros((1000, 28, 28), np.uint8), np.zeros(1000, np.int64)
    )
    row = {
        **{"fid": 1.154, "fid_low": 1.0, "fid_high": 1.3, "accuracy": 0.9264, "accuracy_low": 0.92},
        **{"accuracy_high": 0.93, "precision": 0.95, "recall": 0.81, "density": 1.02, "coverage": 0.9},
    }
    text = page([drawn], {"a judge": {"A model": row}}, "7,000 training images of Fashion-MNIST", 0.95)
    assert "held to 7,000 training images of Fashion-MNIST by 1 classifiers" in " ".join(text.split())
    assert "| A model | 8 channels | 2, 0.1 | 3 | 145 | 951 |" in text
    assert "| A model | 0.926 (0.920 to 0.930) | 1.15 (1.00 to 1.30) | 0.950 | 0.810 | 1.020 | 0.900 |" in text
    assert "1,000 images of each model" in text
    assert max(len(line) for line in text.splitlines()) <= 120


@pytest.mark.parametrize("images", ["90", "105", "10010"])
def test_a_number_of_images_that_makes_no_sense_is_refused(images: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["outside", "--images", images])
    with pytest.raises(ConfigError, match="--images"):
        outside.main()


@pytest.mark.parametrize(
    ("drawn", "data"), [(True, "garments that the project draws itself"), (False, "Fashion-MNIST")]
)
def test_drawn_garments_are_not_told_to_be_real_ones(drawn: bool, data: str, workspace: Path) -> None:
    write_json(metrics_file("prepare"), {"drawn": drawn})
    assert references() == f"300 training images of {data}"


def test_more_images_than_there_are_test_images_are_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="at most 200, as many as the build has test images"):
        run_main(monkeypatch, workspace, "flagship", "--images", "300")


def test_a_model_that_is_unknown_or_untrained_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="has no 'flagshop'"):
        run_main(monkeypatch, workspace, "flagshop", "--images", "100")
    with pytest.raises(MissingResourceError, match="artifacts/flagship"):
        run_main(monkeypatch, workspace, "--images", "100")
