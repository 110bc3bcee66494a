"""Reference rows by a critic and a scorer really fitted on drawn garments."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.dataset import load_split
from tasks.errors import IntegrityError, MissingResourceError
from tasks.files import read_json
from tasks.judge import WEIGHTS
from tasks.params import Sample
from tasks.paths import metrics_file
from tasks.references import blurred, noised, reference_rows, run_references
from tasks.scorer import run_scorer
from tests.tasks.small_critic import EVALUATE, fit_small_critic
from tests.tasks.small_scorer import SCORER
from tests.tasks.small_variants import CPU, SEED

ROWS = ["real", "blurred", "noised", "shuffled"]


def judge_references(per_class: int) -> dict[str, Any]:
    sample = Sample(per_class=per_class, batch=50, trajectory_per_class=1)
    return run_references(SCORER, sample, EVALUATE, CPU, SEED)


@pytest.fixture(scope="module")
def fitted(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn data, a critic, a scorer and the references at 15 images a class."""
    folder = tmp_path_factory.mktemp("references")
    shutil.copytree(drawn_data / "data", folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit_small_critic()
        run_scorer(SCORER, EVALUATE, CPU, SEED)
        judge_references(15)
    return folder


@pytest.fixture
def judged(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own copy of that folder to work in."""
    folder = tmp_path / "judged"
    shutil.copytree(fitted, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.usefixtures("judged")
def test_every_row_has_both_judgements_of_as_many_images() -> None:
    found = read_json(metrics_file("references"))
    assert found["num_images"] == 150
    assert sorted(found["rows"]) == sorted(ROWS)
    for row in found["rows"].values():
        assert row["clip"]["num_images"] == row["critic"]["num_images"] == 150


@pytest.mark.usefixtures("judged")
def test_real_images_are_the_ceiling_and_damage_shows() -> None:
    rows = read_json(metrics_file("references"))["rows"]
    critic = {name: row["critic"] for name, row in rows.items()}
    for name in ("blurred", "noised"):
        assert critic[name]["fid_low"] > critic["real"]["fid_high"]
        assert critic[name]["coverage"] < critic["real"]["coverage"]
    for key in ("fid", "fid_low", "fid_high"):
        assert critic["shuffled"][key] == critic["real"][key]
    assert critic["shuffled"]["accuracy"]["high"] < critic["real"]["accuracy"]["low"]
    assert rows["shuffled"]["clip"]["accuracy"]["high"] < rows["real"]["clip"]["accuracy"]["low"]


@pytest.mark.usefixtures("judged")
def test_a_second_run_gives_the_same_figures_and_a_small_test_split_is_used_whole() -> None:
    first = read_json(metrics_file("references"))
    assert judge_references(15) == first
    assert judge_references(1000)["num_images"] == len(load_split("test")) == 200


@pytest.mark.usefixtures("judged")
def test_rows_keep_labels_except_where_they_are_shuffled() -> None:
    test = load_split("test")
    rows = dict(reference_rows(test, EVALUATE, SEED))
    assert list(rows) == ROWS
    for name in ("real", "blurred", "noised"):
        assert torch.equal(rows[name].labels, test.labels)
    assert not torch.equal(rows["shuffled"].labels, test.labels)
    assert torch.equal(rows["shuffled"].labels.bincount(), test.labels.bincount())
    assert torch.equal(rows["shuffled"].images, test.images)


def test_blur_spreads_a_dot_by_its_sigma_and_keeps_its_light() -> None:
    dots = torch.zeros((3, 28, 28), dtype=torch.uint8)
    dots[:, 10:18, 10:18] = 240
    soft = blurred(dots, 1.5).double()[0]
    position = torch.arange(28, dtype=torch.float64) - 13.5
    variance = (soft.sum(dim=0) * position**2).sum() / soft.sum()
    assert soft.sum().item() == pytest.approx(64 * 240, rel=0.02)
    assert variance.item() == pytest.approx((64 - 1) / 12 + 1.5**2, rel=0.03)


def test_noise_has_its_sigma_and_repeats_from_the_seed() -> None:
    grey = torch.full((20, 28, 28), 128, dtype=torch.uint8)
    found = noised(grey, 0.1, SEED)
    assert found.double().std().item() == pytest.approx(25.5, rel=0.03)
    assert torch.equal(found, noised(grey, 0.1, SEED))
    assert not torch.equal(found, noised(grey, 0.1, SEED + 1))


@pytest.mark.usefixtures("judged")
def test_an_altered_critic_judges_nothing() -> None:
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    WEIGHTS.write_bytes(content)
    with pytest.raises(IntegrityError, match="was altered"):
        judge_references(15)


@pytest.mark.usefixtures("workspace")
def test_a_missing_scorer_is_named() -> None:
    fit_small_critic(steps=2)
    with pytest.raises(MissingResourceError, match=r"scorer\.json"):
        judge_references(15)
