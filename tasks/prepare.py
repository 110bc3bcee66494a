"""From verified archives to the three splits that everything else reads."""

from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.archives import ARCHIVES, IMAGES, LABELS, MANIFEST, Archive, difference
from tasks.errors import ConfigError, IntegrityError
from tasks.files import Arrays, read_json, sha256_file, write_arrays, write_json
from tasks.idx import read_images, read_labels
from tasks.labels import CLASS_NAMES, NUM_CLASSES
from tasks.params import Prepare
from tasks.paths import RAW, metrics_file, split_file
from tasks.seeds import numpy_generator

REMEDY = "rerun the fetch stage"


def run_preparation(prepare: Prepare, seed: int) -> dict[str, Any]:
    """Verify and decode ``data/raw``, cut a validation split from the training split, and write ``data/prepared``.

    Args:
        prepare: images a class to cut out.
        seed: decides which.

    Returns:
        Counts by class, mean and standard deviation of the training pixels, sha256 and duplicates of the splits.

    Raises:
        MissingResourceError: the fetch stage has not run.
        IntegrityError: a raw file differs from the manifest or, if official, from its pin; or is no such archive.
        ConfigError: a class has too few images for the validation split.
    """
    manifest = read_manifest()
    whole = _decode("train", manifest["drawn"])
    held_out = validation_indices(whole["labels"], prepare.validation_per_class, seed)
    splits = {
        "train": {name: np.delete(values, held_out, axis=0) for name, values in whole.items()},
        "val": {name: values[held_out] for name, values in whole.items()},
        "test": _decode("test", manifest["drawn"]),
    }
    for split, arrays in splits.items():
        write_arrays(split_file(split), arrays)
    metrics = {"drawn": manifest["drawn"], **_describe(splits)}
    write_json(metrics_file("prepare"), metrics)
    return metrics


def read_manifest() -> dict[str, Any]:
    """Read the manifest of ``data/raw`` and hold every file against it, official ones against their pins too.

    Raises:
        MissingResourceError: the fetch stage has not run, or a file is gone.
        IntegrityError: the manifest or a file is not what it must be.
    """
    manifest = read_json(MANIFEST)
    if not _well_formed(manifest):
        raise IntegrityError(str(MANIFEST), "is malformed", "drawn, and bytes and sha256 of the four archives", REMEDY)
    for archive in ARCHIVES:
        recorded = manifest["files"][archive.name]
        _verify(RAW / archive.name, recorded["bytes"], recorded["sha256"])
        if not manifest["drawn"]:
            _verify(RAW / archive.name, archive.bytes, archive.sha256)
    return manifest


def validation_indices(labels: np.ndarray[Any, Any], per_class: int, seed: int) -> np.ndarray[Any, Any]:
    """Which training images become the validation split: ``per_class`` of every class at random, in rising order.

    Raises:
        ConfigError: a class has not more than ``per_class`` images.
    """
    chosen = []
    for label, name in enumerate(CLASS_NAMES):
        members = np.flatnonzero(labels == label)
        if len(members) <= per_class:
            what = f"is {per_class}, while {name} has {len(members)} images in all"
            expected = "fewer than the smallest class has"
            raise ConfigError("prepare.validation_per_class", what, expected, "lower it in params.yaml")
        chosen.append(numpy_generator(seed, "validation", label).permutation(members)[:per_class])
    return np.sort(np.concatenate(chosen))


def duplicates(splits: dict[str, np.ndarray[Any, Any]]) -> dict[str, int]:
    """Count images that equal another one pixel by pixel.

    Args:
        splits: uint8 images of ``train``, ``val`` and ``test``, shape (N, 28, 28).

    Returns:
        ``train``: training images that equal an earlier training image. ``train_val`` and ``train_test``: validation
        and test images that also occur in the training split.
    """
    pixels = {split: [image.tobytes() for image in images] for split, images in splits.items()}
    known = set(pixels["train"])
    return {
        "train": len(pixels["train"]) - len(known),
        "train_val": sum(image in known for image in pixels["val"]),
        "train_test": sum(image in known for image in pixels["test"]),
    }


def _decode(split: str, drawn: bool) -> Arrays:
    by_name: dict[str, Archive] = {archive.name: archive for archive in ARCHIVES}
    count = None if drawn else by_name[IMAGES[split]].count
    images = read_images(RAW / IMAGES[split], count)
    return {"images": images, "labels": read_labels(RAW / LABELS[split], len(images))}


def _describe(splits: dict[str, Arrays]) -> dict[str, Any]:
    frequency = np.bincount(splits["train"]["images"].ravel(), minlength=256) / splits["train"]["images"].size
    level = np.arange(256) / 255.0
    mean = float(frequency @ level)
    return {
        "counts": {split: np.bincount(a["labels"], minlength=NUM_CLASSES).tolist() for split, a in splits.items()},
        "pixel_mean": mean,
        "pixel_std": float(np.sqrt(frequency @ (level - mean) ** 2)),
        "sha256": {split: sha256_file(split_file(split)) for split in splits},
        "duplicates": duplicates({split: arrays["images"] for split, arrays in splits.items()}),
    }


def _verify(path: Path, size: int, sha256: str) -> None:
    wrong = difference(path, size, sha256)
    if wrong:
        raise IntegrityError(str(path), wrong, f"{size} bytes with sha256 {sha256}", REMEDY)


def _well_formed(manifest: dict[str, Any]) -> bool:
    files = manifest.get("files")
    if set(manifest) != {"drawn", "files"} or not isinstance(manifest["drawn"], bool) or not isinstance(files, dict):
        return False
    return set(files) == {archive.name for archive in ARCHIVES} and all(
        isinstance(entry, dict)
        and set(entry) == {"bytes", "sha256"}
        and type(entry["bytes"]) is int
        and isinstance(entry["sha256"], str)
        for entry in files.values()
    )


prepare_task = task(name="prepare", cache_policy=NO_CACHE)(run_preparation)
