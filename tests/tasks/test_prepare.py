"""The splits are cut as described, from files that are what the manifest says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import prepare
from tasks.archives import ARCHIVES, IMAGES, LABELS, MANIFEST, Archive
from tasks.dataset import load_split
from tasks.errors import ConfigError, IntegrityError, MissingResourceError
from tasks.fetch import run_fetch
from tasks.files import read_arrays, read_json, sha256_file, write_bytes, write_json
from tasks.idx import encode_idx, read_images, read_labels
from tasks.params import Data, DrawnCounts, Prepare
from tasks.paths import RAW, metrics_file, split_file
from tasks.prepare import duplicates, run_preparation, validation_indices

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as the fetch stage leaves it."""
    folder = tmp_path_factory.mktemp("drawn")
    counts = DrawnCounts(train=24, test=20)
    data = Data(source="drawn", folders=(), mirrors=(), timeout_s=1.0, attempts=1, drawn_per_class=counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_fetch(data, seed=1)
    return folder


@pytest.fixture(autouse=True)
def _workspace(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def record(drawn: bool = True) -> None:
    """Write a manifest that fits the files as they are."""
    paths = [RAW / a.name for a in ARCHIVES]
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in paths}
    write_json(MANIFEST, {"drawn": drawn, "files": files})


def test_every_image_goes_to_one_split_with_its_label() -> None:
    metrics = run_preparation(Prepare(validation_per_class=6), seed=1)
    assert metrics["counts"] == {"train": [18] * 10, "val": [6] * 10, "test": [20] * 10}
    raw = zip(read_images(RAW / IMAGES["train"]), read_labels(RAW / LABELS["train"]), strict=True)
    wanted = sorted((image.tobytes(), int(label)) for image, label in raw)
    found = []
    for split in ("train", "val"):
        arrays = load_split(split)
        found += [(i.numpy().tobytes(), int(n)) for i, n in zip(arrays.images, arrays.labels, strict=True)]
    assert sorted(found) == wanted
    test = load_split("test")
    np.testing.assert_array_equal(test.images.numpy(), read_images(RAW / IMAGES["test"]))
    np.testing.assert_array_equal(test.labels.numpy(), read_labels(RAW / LABELS["test"]))


def test_metrics_say_what_is_in_the_files() -> None:
    metrics = run_preparation(Prepare(validation_per_class=6), seed=1)
    assert metrics == read_json(metrics_file("prepare"))
    assert metrics["drawn"] is True
    pixels = read_arrays(split_file("train"))["images"] / 255.0
    np.testing.assert_allclose(metrics["pixel_mean"], pixels.mean(), rtol=1e-12)
    np.testing.assert_allclose(metrics["pixel_std"], pixels.std(), rtol=1e-12)
    assert metrics["sha256"] == {split: sha256_file(split_file(split)) for split in SPLITS}
    assert metrics["duplicates"] == {"train": 0, "train_val": 0, "train_test": 0}


def test_the_cut_depends_on_the_seed_alone() -> None:
    first = run_preparation(Prepare(validation_per_class=6), seed=1)["sha256"]
    assert run_preparation(Prepare(validation_per_class=6), seed=1)["sha256"] == first
    other = run_preparation(Prepare(validation_per_class=6), seed=2)["sha256"]
    assert other["val"] != first["val"]
    assert other["test"] == first["test"]


def test_a_larger_cut_holds_the_smaller_one() -> None:
    labels = np.arange(200) % 10
    small, large = validation_indices(labels, 3, 1), validation_indices(labels, 8, 1)
    assert set(small) < set(large)
    assert np.bincount(labels[large]).tolist() == [8] * 10
    assert (np.diff(large) > 0).all()


@pytest.mark.parametrize("per_class", [24, 500])
def test_too_large_a_cut_names_the_key(per_class: int) -> None:
    with pytest.raises(ConfigError, match=r"^prepare\.validation_per_class: .*T-shirt/top has 24 images") as caught:
        run_preparation(Prepare(validation_per_class=per_class), seed=1)
    assert caught.value.exit_code == 2
    assert not split_file("train").exists()


def test_the_largest_possible_cut_leaves_one_image() -> None:
    assert run_preparation(Prepare(validation_per_class=23), seed=1)["counts"]["train"] == [1] * 10


def test_duplicates_are_counted() -> None:
    images = np.arange(6, dtype=np.uint8).repeat(784).reshape(6, 28, 28)
    splits = {"train": images[[0, 0, 0, 1, 2]], "val": images[[2, 3, 4]], "test": images[[0, 1, 1, 5]]}
    assert duplicates(splits) == {"train": 2, "train_val": 1, "train_test": 3}


def test_nothing_fetched_is_a_missing_resource() -> None:
    MANIFEST.unlink()
    with pytest.raises(MissingResourceError, match=r"data/raw/manifest\.json"):
        run_preparation(Prepare(validation_per_class=6), seed=1)


def test_a_raw_file_that_is_gone_is_a_missing_resource() -> None:
    (RAW / LABELS["test"]).unlink()
    with pytest.raises(MissingResourceError, match="t10k-labels"):
        run_preparation(Prepare(validation_per_class=6), seed=1)


def test_every_flipped_bit_in_a_raw_file_is_found() -> None:
    rng = np.random.default_rng(4)
    for archive in ARCHIVES:
        path = RAW / archive.name
        whole = path.read_bytes()
        for _ in range(25):
            content = bytearray(whole)
            content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
            path.write_bytes(content)
            with pytest.raises(IntegrityError, match=archive.name) as caught:
                prepare.read_manifest()
            assert caught.value.exit_code == 3
        path.write_bytes(whole)
    prepare.read_manifest()


def test_drawn_files_do_not_pass_for_official_ones() -> None:
    record(drawn=False)
    with pytest.raises(IntegrityError, match="26421880 bytes with sha256 3aede38d"):
        run_preparation(Prepare(validation_per_class=6), seed=1)


def test_official_files_have_their_official_count(monkeypatch: pytest.MonkeyPatch) -> None:
    record(drawn=False)
    files = read_json(MANIFEST)["files"]
    pins = tuple(Archive(a.name, a.count, files[a.name]["bytes"], files[a.name]["sha256"]) for a in ARCHIVES)
    monkeypatch.setattr(prepare, "ARCHIVES", pins)
    with pytest.raises(IntegrityError, match="the IDX header 000008030000ea60"):  # 60,000
        run_preparation(Prepare(validation_per_class=6), seed=1)


def test_as_many_labels_as_images() -> None:
    write_bytes(RAW / LABELS["train"], encode_idx(np.zeros(239, np.uint8)))
    record()
    with pytest.raises(IntegrityError, match="train-labels"):
        run_preparation(Prepare(validation_per_class=6), seed=1)


def _without_a_file(manifest: dict[str, Any]) -> None:
    del manifest["files"][IMAGES["test"]]


def _with_another_file(manifest: dict[str, Any]) -> None:
    manifest["files"]["../x"] = manifest["files"][IMAGES["test"]]


def _with_size(value: Any) -> Any:
    return lambda manifest: manifest["files"][IMAGES["test"]].update(bytes=value)


@pytest.mark.parametrize(
    "change",
    [
        _without_a_file,
        _with_another_file,
        _with_size("5"),
        _with_size(True),
        _with_size(None),
        lambda manifest: manifest["files"][IMAGES["test"]].update(sha256=5),
        lambda manifest: manifest["files"][IMAGES["test"]].update(more=5),
        lambda manifest: manifest["files"].update({IMAGES["test"]: []}),
        lambda manifest: manifest.update(drawn=1),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest.pop("drawn"),
    ],
)
def test_malformed_manifests_are_refused(change: Any) -> None:
    manifest = read_json(MANIFEST)
    change(manifest)
    MANIFEST.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"manifest\.json: is malformed"):
        run_preparation(Prepare(validation_per_class=6), seed=1)
