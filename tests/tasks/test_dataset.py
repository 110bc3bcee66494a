"""The loader gives tensors that are what they say, and refuses everything else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.dataset import Split, class_balanced, load_split, real_test_images
from tasks.errors import IntegrityError, MissingResourceError
from tasks.files import write_arrays
from tasks.paths import split_file
from tests.tasks.small_variants import SEED

GOOD = {"images": np.zeros((4, 28, 28), np.uint8), "labels": np.array([0, 9, 3, 3], np.int64)}


def test_a_split_comes_back_as_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.arange(4 * 784).astype(np.uint8).reshape(4, 28, 28)
    write_arrays(split_file("val"), {**GOOD, "images": images})
    split = load_split("val")
    assert split.images.dtype == torch.uint8
    torch.testing.assert_close(split.images, torch.from_numpy(images), rtol=0, atol=0)
    assert split.labels.tolist() == [0, 9, 3, 3]
    assert len(split) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": np.zeros((4, 28, 28), np.float32)}, "float32"),
        ({"images": np.zeros((4, 28, 27), np.uint8)}, "27"),
        ({"images": np.zeros((4, 784), np.uint8)}, "784"),
        ({"labels": np.zeros(4, np.int32)}, "int32"),
        ({"labels": np.zeros(3, np.int64)}, r"labels int64 \[3\] for 4 images"),
        ({"labels": np.array([0, 1, 2, 10])}, "labels from 0 to 10"),
        ({"labels": np.array([0, 1, 2, -1])}, "labels from -1 to 2"),
        ({"images": np.zeros((0, 28, 28), np.uint8), "labels": np.zeros(0, np.int64)}, "no images"),
        ({"extra": np.zeros(1)}, "extra, images, labels"),
    ],
)
def test_anything_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_arrays(split_file("test"), {**GOOD, **change})
    with pytest.raises(IntegrityError, match=says) as caught:
        load_split("test")
    assert caught.value.exit_code == 3


def test_fewer_real_test_images_are_some_of_more(workspace: Path) -> None:
    few, more = real_test_images(3, SEED), real_test_images(5, SEED)
    assert few.labels.bincount().tolist() == [3] * 10
    for label in range(10):
        both = few.images[few.labels == label], more.images[more.labels == label]
        torch.testing.assert_close(both[0], both[1][:3], rtol=0, atol=0)
    assert len(real_test_images(1000, SEED)) == 200  # all there are


def test_a_missing_split_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingResourceError, match=r"data/prepared/train\.npz"):
        load_split("train")


def test_damaged_archives_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = split_file("train")
    write_arrays(path, GOOD)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            load_split("train")
    for _ in range(300):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            split = load_split("train")
        except IntegrityError:
            continue
        assert split.labels.tolist() == [0, 9, 3, 3]
        assert not split.images.any()


def numbered(per_class: int) -> Split:
    labels = torch.arange(10).repeat(per_class)
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1).expand(-1, 28, 28)
    return Split(images, labels)


def test_class_balanced_takes_equally_many_without_repetition() -> None:
    split = numbered(20)
    chosen = class_balanced(split, 7, torch.Generator().manual_seed(1))
    assert chosen.labels.tolist() == [label for label in range(10) for _ in range(7)]
    indices = chosen.images[:, 0, 0].long()
    assert len(set(indices.tolist())) == 70
    assert torch.equal(split.labels[indices], chosen.labels)  # every image kept its own label
    again = class_balanced(split, 7, torch.Generator().manual_seed(1))
    other = class_balanced(split, 7, torch.Generator().manual_seed(2))
    assert torch.equal(again.images, chosen.images)
    assert not torch.equal(other.images, chosen.images)


def test_class_balanced_is_limited_by_the_smallest_class() -> None:
    split = numbered(20)
    fewer = Split(split.images[4:], split.labels[4:])  # classes 0 to 3 have lost one image
    assert class_balanced(fewer, 50, torch.Generator().manual_seed(1)).labels.bincount().tolist() == [19] * 10
