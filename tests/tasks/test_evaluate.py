"""The critic's judgement of sets of images whose quality is known, by a critic really fitted on drawn garments."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.frechet import frechet_distance, moments
from models.manifold import Manifold, compare_manifolds
from tasks.dataset import Split, class_balanced, load_split
from tasks.distances import real_features
from tasks.errors import ConfigError, IntegrityError, MissingResourceError
from tasks.evaluate import critic_block, run_evaluation
from tasks.files import read_json, read_table, write_arrays
from tasks.judge import load_critic
from tasks.labels import CLASS_SLUGS
from tasks.memorisation import memorisation_block
from tasks.paths import artifact, metrics_file
from tests.tasks.small_critic import EVALUATE, fit_small_critic
from tests.tasks.small_variants import CPU, SEED


@pytest.fixture(scope="module")
def fitted(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn data and a critic."""
    folder = tmp_path_factory.mktemp("fitted")
    shutil.copytree(drawn_data / "data", folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit_small_critic()
    return folder


@pytest.fixture
def judged(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own copy of that folder to work in."""
    folder = tmp_path / "judged"
    shutil.copytree(fitted, folder)
    monkeypatch.chdir(folder)
    return folder


def block_of(split: Split, **changes: Any) -> dict[str, Any]:
    judge = load_critic(CPU)
    return critic_block(split, judge, real_features(judge, SEED), replace(EVALUATE, **changes), SEED)


def save_samples(split: Split, variant: str = "course") -> None:
    seeds = 2**62 + np.arange(len(split))
    arrays = {"images": split.images.numpy(), "labels": split.labels.numpy(), "seeds": seeds}
    write_arrays(artifact(variant, "samples.npz"), arrays)


@pytest.mark.usefixtures("judged")
def test_the_training_images_themselves_are_perfect() -> None:
    train = load_split("train")
    found = block_of(class_balanced(train, 1000, torch.Generator().manual_seed(0)))
    assert found["fid"] == pytest.approx(0.0, abs=1e-6)
    assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)
    assert found["density"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.usefixtures("judged")
def test_static_is_far_from_garments_and_covers_none() -> None:
    generator = torch.Generator().manual_seed(0)
    static = torch.randint(0, 256, (200, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.arange(10).repeat_interleave(20)
    real, found = block_of(load_split("test")), block_of(Split(static, labels))
    assert found["fid_low"] > real["fid_high"]
    assert found["kid_low"] > real["kid_high"]
    assert found["coverage"] < 0.1 < real["coverage"]
    assert found["accuracy"]["value"] < 0.3 < real["accuracy"]["value"]


@pytest.mark.usefixtures("judged")
def test_images_of_one_class_keep_precision_and_lose_recall() -> None:
    test = load_split("test")
    trousers = test.images[test.labels == 1].repeat(10, 1, 1)
    found, real = block_of(Split(trousers, torch.arange(10).repeat_interleave(20))), block_of(test)
    assert found["precision"] > 0.5
    assert found["recall"] < 0.2 < real["recall"]
    assert found["accuracy"]["value"] < 0.2


@pytest.mark.usefixtures("judged")
def test_shuffled_labels_change_accuracy_and_nothing_else() -> None:
    test = load_split("test")
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    found, real = block_of(Split(test.images, test.labels[order])), block_of(test)
    assert found["accuracy"]["value"] < 0.3
    without = {"accuracy", "per_class", "fid_low", "fid_high"}  # the interval's groups hold equal shares of the labels
    assert {k: v for k, v in found.items() if k not in without} == {k: v for k, v in real.items() if k not in without}


@pytest.mark.usefixtures("judged")
def test_fid_is_taken_over_all_images_against_the_balanced_training_images() -> None:
    test, judge = load_split("test"), load_critic(CPU)
    reference = class_balanced(load_split("train"), 1000, torch.Generator().manual_seed(3))
    expected = frechet_distance(*(moments(judge.features_and_logits(s.images)[0]) for s in (test, reference)))
    found = block_of(test)
    assert found["fid"] == pytest.approx(expected, rel=1e-4)
    assert found["fid_low"] < found["fid"] < found["fid_high"]
    assert found["kid_low"] < found["kid"] < found["kid_high"]


@pytest.mark.usefixtures("judged")
def test_a_variants_samples_are_judged_and_written_down() -> None:
    test = class_balanced(load_split("test"), 15, torch.Generator().manual_seed(0))
    save_samples(test)
    found = run_evaluation("course", EVALUATE, CPU, SEED)
    assert found == read_json(metrics_file("evaluate", "course"))
    assert found == {**block_of(test), "memorisation": memorisation_block(test.images, EVALUATE.confidence)}
    assert found["num_images"] == 150
    assert set(found["per_class"]) == set(CLASS_SLUGS)
    assert set(found["per_class"]["bag"]["accuracy"]) == {"value", "low", "high"}


@pytest.mark.usefixtures("judged")
def test_the_critics_answer_on_each_image_is_kept() -> None:
    test = class_balanced(load_split("test"), 15, torch.Generator().manual_seed(0))
    save_samples(test)
    found = run_evaluation("course", EVALUATE, CPU, SEED)
    table = read_table(artifact("course", "judgements.csv"))
    assert list(table.columns) == ["seed", "label", "predicted", "probability"]
    assert table["seed"].tolist() == [2**62 + index for index in range(150)]
    assert table["label"].tolist() == test.labels.tolist()
    assert (table["predicted"] == table["label"]).mean() == found["accuracy"]["value"]
    bags = table[table["label"] == CLASS_SLUGS.index("bag")]
    assert (bags["predicted"] == bags["label"]).mean() == found["per_class"]["bag"]["accuracy"]["value"]


@pytest.mark.usefixtures("judged")
def test_the_probability_is_that_of_the_class_asked_for() -> None:
    test = class_balanced(load_split("test"), 15, torch.Generator().manual_seed(0))
    save_samples(test)
    run_evaluation("course", EVALUATE, CPU, SEED)
    table = read_table(artifact("course", "judgements.csv"))
    _, logits = load_critic(CPU).features_and_logits(test.images)
    exponentials = np.exp(logits.double().numpy())
    expected = exponentials[np.arange(150), test.labels.numpy()] / exponentials.sum(axis=1)
    np.testing.assert_allclose(table["probability"], expected, rtol=1e-9)
    right, wrong = (table[(table["predicted"] == table["label"]) == flag]["probability"] for flag in (True, False))
    assert right.min() > 0.1
    assert wrong.max() < 0.5


@pytest.mark.usefixtures("judged")
def test_manifolds_are_compared_at_equal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []

    def watched(real: torch.Tensor, images: torch.Tensor, neighbours: int) -> Manifold:
        numbers.append((len(real), len(images)))
        return compare_manifolds(real, images, neighbours)

    monkeypatch.setattr("tasks.distances.compare_manifolds", watched)
    test = load_split("test")
    block_of(class_balanced(test, 15, torch.Generator().manual_seed(0)))
    block_of(Split(test.images.repeat(2, 1, 1), test.labels.repeat(2)))
    assert numbers == [(150, 150), (300, 300)]


@pytest.mark.usefixtures("judged")
def test_more_neighbours_than_images_are_refused() -> None:
    test = class_balanced(load_split("test"), 10, torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match=r"evaluate\.neighbours: got 100; expected fewer than 100") as caught:
        block_of(test, neighbours=100)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("judged")
def test_missing_samples_are_named() -> None:
    with pytest.raises(MissingResourceError, match=r"samples\.npz"):
        run_evaluation("course", EVALUATE, CPU, SEED)


@pytest.mark.usefixtures("judged")
def test_damaged_samples_are_refused() -> None:
    save_samples(load_split("test"))
    path = artifact("course", "samples.npz")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(IntegrityError, match=r"samples\.npz"):
        run_evaluation("course", EVALUATE, CPU, SEED)


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize("lacking", ["labels", "seeds"])
def test_samples_without_what_was_asked_for_are_refused(lacking: str) -> None:
    arrays = {"images": load_split("test").images.numpy(), "labels": np.zeros(200), "seeds": np.zeros(200)}
    write_arrays(artifact("course", "samples.npz"), {k: v for k, v in arrays.items() if k != lacking})
    with pytest.raises(IntegrityError, match="lacks images, labels or seeds"):
        run_evaluation("course", EVALUATE, CPU, SEED)
