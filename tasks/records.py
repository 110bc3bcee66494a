"""What a stage made, read back from its files: everything that MLflow is told, whether at once or afterwards."""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.config import load_params
from tasks.files import read_arrays, read_json, read_table, sha256_json, write_json
from tasks.lineage import ORIGIN, TRAINING_MARKS, dvc_tags, git_diff, git_tags, software_tags, training_marks
from tasks.params import Params
from tasks.paths import WORK, artifact, metrics_file, table_file
from tasks.run_params import run_identity, run_params

Image = np.ndarray[Any, np.dtype[np.uint8]]
VARIANT_STAGES = ("train", "sample", "score", "evaluate", "sweep")
JUDGE_STAGES = ("critic", "scorer", "references")
RECORDED = (*JUDGE_STAGES, *VARIANT_STAGES)
HISTORY = {"train_loss": "train/loss", "val_loss": "train/val_loss", "lr": "train/lr", "grad_norm": "train/grad_norm"}
CIRCUMSTANCES = ("seconds", "images_per_second", "environment", "processes", "taken_from")
"""What a stage's metrics tell of how its results came about, not of what they are."""
MEASURED = ("device", "device_name", "torch", "threads", "precision")
"""Of a stage's own record of its environment, what becomes a tag."""
TABLES = {
    "score": {"clip/per_class.json": "clip"},
    "sweep": {"sweep/samplers.json": "sweep", "sweep/guidance.json": "guidance"},
}
"""Tables that stages of a variant leave: how the name of each file begins, by its name in MLflow."""
ENLARGED = 3
COLUMNS = 10


@dataclass(frozen=True, slots=True)
class Point:
    """A figure at a training step, in a sweep at a number of evaluations; 0 for figures that have neither."""

    key: str
    value: float
    step: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """A picture at a training step; ``pixels`` uint8 [H, W]."""

    key: str
    step: int
    pixels: Image


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Weights kept during training, and what was measured of them."""

    name: str
    step: int
    file: Path
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a stage began with, read once, since files may be edited while it runs.

    Attributes:
        params: all parameters.
        data_sha256: digest of the prepared data; empty while there is none.
        training: marks of the variant's training, see :func:`tasks.lineage.training_marks`; empty for a judge.
        tags: the commit and the versions in use; empty where nobody noted them.
        changes: what the tree changed in that commit.
        began: when, in milliseconds since 1970; None where nobody noted it.
        ended: when it was through; None while it runs, and where nobody noted it.
    """

    params: Params
    data_sha256: str
    training: dict[str, str]
    tags: dict[str, str]
    changes: str
    began: int | None
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A stage's run, as MLflow shall show it.

    Attributes:
        stage: the stage's name.
        variant: its variant, or None for a judge.
        begun: what it began with.
        identity: digest of parameters and data; equal for runs of which one may continue the other.
        outputs: digest of the results; empty while there are none.
        params: flat parameters.
        tags: lineage.
        points: every figure.
        tables: CSV files by the name they get in MLflow.
        grids: pictures.
        snapshots: kept weights.
        files: small files to keep with the run.
    """

    stage: str
    variant: str | None
    begun: Beginning
    identity: str
    outputs: str
    params: dict[str, str]
    tags: dict[str, str]
    points: tuple[Point, ...] = ()
    tables: dict[str, Path] = field(default_factory=dict)
    grids: tuple[Grid, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    files: tuple[Path, ...] = ()


def stages_to_record(variants: Iterable[str]) -> list[tuple[str, str | None]]:
    """The stages of a build that MLflow is told of, each with its variant or None, the judges' first."""
    judges: list[tuple[str, str | None]] = [(stage, None) for stage in JUDGE_STAGES]
    return judges + [(stage, variant) for variant in variants for stage in VARIANT_STAGES]


def beginning(stage: str, variant: str | None) -> Beginning:
    """What a stage begins with; to be called when it does.

    Args:
        stage: one of :data:`RECORDED`.
        variant: its variant, or None for a judge.
    """
    params = load_params()
    training = training_marks(params.compute) if stage == "train" else _training(variant)
    return Beginning(params, _data_sha256(), training, {**git_tags(), **software_tags()}, git_diff(), _now())


def record(stage: str, variant: str | None, begun: Beginning | None, finished: bool = True) -> RunRecord:
    """Read what there is of a stage's run.

    Args:
        stage: one of :data:`RECORDED`.
        variant: its variant, or None for a judge.
        begun: what it began with; None for a stage that ran earlier, whose results ``dvc.lock`` proves current.
        finished: read the results too; they are left aside where the run they belong to is not the one meant.
    """
    outputs = outputs_digest(stage, variant) if finished else ""
    start = begun or _earlier(stage, variant, outputs)
    identity = run_identity(start.params, stage, variant, start.data_sha256, start.training)
    measured = _measured_tags(stage, variant) if finished else {}
    return RunRecord(
        stage=stage,
        variant=variant,
        begun=start,
        identity=identity,
        outputs=outputs,
        params=run_params(start.params, stage, variant),
        tags={**dvc_tags(stage, variant, begun is None), **_tags(stage, start, identity), **measured},
        **(_results(stage, variant) if finished else {}),
    )


def group_record(member: RunRecord) -> RunRecord:
    """The run that a stage's run stands under: one for each variant with all its settings, and one for the judges.

    Args:
        member: the stage's record.
    """
    begun, variant = member.begun, member.variant
    stage = "variant" if variant else "judges"
    identity = run_identity(begun.params, stage, variant, begun.data_sha256, begun.training)
    kept = (*ORIGIN, *MEASURED) if member.stage in ("train", *JUDGE_STAGES) else ()
    tags = {key: value for key, value in member.tags.items() if key.startswith(kept)}
    tags |= {"config.sha256": identity, "seed": member.tags["seed"], "stage": stage}
    return RunRecord(stage, variant, begun, identity, "", run_params(begun.params, stage, variant), tags)


def note_run(stage: str, variant: str | None, begun: Beginning, finished: bool, tags: Mapping[str, str]) -> None:
    """Keep what only the running stage knows, such as its commit and its flow run, for a record made later."""
    outputs = outputs_digest(stage, variant) if finished else ""
    times = {"began": begun.began, "ended": _now()}
    note = {"outputs": outputs, "tags": {**begun.tags, **tags}, "changes": begun.changes, **times}
    write_json(_note(stage, variant), note)


def outputs_digest(stage: str, variant: str | None) -> str:
    """Digest of a stage's results without the circumstances under which they came about; empty if there are none."""
    path = metrics_file(stage, variant)
    if not path.is_file():
        return ""
    return sha256_json({key: value for key, value in read_json(path).items() if key not in CIRCUMSTANCES})


def history_points(row: Mapping[str, Any], step: int) -> list[Point]:
    """The figures of one row of a training history; what was not measured is left out."""
    named = ((key, row.get(column)) for column, key in HISTORY.items())
    return [Point(key, float(value), step) for key, value in named if value is not None and math.isfinite(value)]


def mosaic(images: Image) -> Image:
    """Images uint8 [N, 28, 28] side by side in rows of ten, enlarged; uint8 [H, W]."""
    rows = -(-len(images) // COLUMNS)
    padded = np.zeros((rows * COLUMNS, *images.shape[1:]), dtype=np.uint8)
    padded[: len(images)] = images
    height, width = images.shape[1:]
    sheet = padded.reshape(rows, COLUMNS, height, width).swapaxes(1, 2).reshape(rows * height, COLUMNS * width)
    return sheet.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


def figures(value: Any, key: str) -> Iterator[Point]:
    """Every number under a JSON value as a figure; the ends of an interval get keys of their own."""
    if isinstance(value, Mapping):
        interval = {"value", "low", "high"} <= set(value)
        for name, part in value.items():
            suffix = "" if name == "value" else f"_{name}"
            if name == "per_class":
                continue
            yield from figures(part, f"{key}{suffix}" if interval else f"{key}/{name}")
    elif isinstance(value, int | float) and math.isfinite(value):
        yield Point(key, float(value))


def sweep_points(rows: list[dict[str, Any]]) -> Iterator[Point]:
    """The figures of a sweep as curves over the number of evaluations, one a sampler."""
    for row in rows:
        for name in ("fid", "accuracy"):
            yield Point(f"sweep/{name}/{key_part(row['sampler'])}", float(row[name]), int(row["evaluations"]))


def key_part(title: str) -> str:
    """A title in the letters that MLflow takes for a key: ``DPM-Solver++(2M)`` becomes ``dpm-solver-2m``."""
    return re.sub(r"[^a-z0-9.]+", "-", title.lower()).strip("-")


def _results(stage: str, variant: str | None) -> dict[str, Any]:
    content = read_json(metrics_file(stage, variant))
    if stage == "train":
        return _train_results(str(variant), content)
    section = {"score": "clip", "evaluate": "critic"}.get(stage, stage)
    content.pop("environment", None)
    per_class = content.pop("per_class", {})
    points = [*figures(content, section), *figures(per_class, f"{section}/class")]
    points += sweep_points(content["rows"]) if stage == "sweep" else []
    found: dict[str, Any] = {"points": tuple(points), "files": (metrics_file(stage, variant),)}
    found["tables"] = {name: table_file(f"{table}_{variant}") for name, table in TABLES.get(stage, {}).items()}
    if stage == "sample":
        found["grids"] = _sample_grids(str(variant))
    return found


def _train_results(variant: str, content: dict[str, Any]) -> dict[str, Any]:
    history = read_table(artifact(variant, "history.csv")).to_dict("records")
    rows = [point for row in history for point in history_points({str(k): v for k, v in row.items()}, int(row["step"]))]
    scalars = {key: value for key, value in content.items() if key not in ("snapshots", "environment")}
    kept = ("history.csv", "noise_levels.csv", "model.json")
    return {
        "points": (*rows, *figures(scalars, "train")),
        "snapshots": tuple(_snapshot(variant, entry) for entry in content["snapshots"]),
        "files": tuple(artifact(variant, name) for name in kept),
    }


def _sample_grids(variant: str) -> tuple[Grid, ...]:
    """The samples as they are, and what the snapshots made of the same noise, at their training steps."""
    drawn, progress = read_arrays(artifact(variant, "samples.npz")), read_arrays(artifact(variant, "progress.npz"))
    final = Grid("samples/final", 0, mosaic(_some_per_class(drawn["images"], drawn["labels"])))
    pairs = zip(progress["steps"], progress["images"], strict=True)
    return (*(Grid("samples/progress", int(step), mosaic(images)) for step, images in pairs), final)


def _snapshot(variant: str, entry: Mapping[str, Any]) -> Snapshot:
    step = int(entry["step"])
    points = (Point("checkpoint/val_loss", float(entry["val_loss"]), step),)
    return Snapshot(f"{variant}-step-{step}", step, artifact(variant, entry["file"]), points)


def _some_per_class(images: Image, labels: np.ndarray[Any, Any], each: int = 5) -> Image:
    """The first images of each class, so that every column of a mosaic shows one class."""
    chosen = [np.flatnonzero(labels == label)[:each] for label in np.unique(labels)]
    depth = min(len(found) for found in chosen)
    order = [int(found[row]) for row in range(depth) for found in chosen]
    return np.asarray(images[order], dtype=np.uint8)


def _tags(stage: str, begun: Beginning, identity: str) -> dict[str, str]:
    tags = {**begun.tags, "config.sha256": identity, "seed": str(begun.params.seed), "stage": stage}
    tags |= {"data.sha256": begun.data_sha256} if begun.data_sha256 else {}
    known = begun.training if stage == "train" else {}
    return tags | {key: known[key] for key in MEASURED if key in known}


def _measured_tags(stage: str, variant: str | None) -> dict[str, str]:
    found = read_json(metrics_file(stage, variant)).get("environment", {})
    return {key: str(found[key]) for key in MEASURED if key in found}


def _data_sha256() -> str:
    prepared = metrics_file("prepare")
    return sha256_json(read_json(prepared)["sha256"]) if prepared.is_file() else ""


def _training(variant: str | None) -> dict[str, str]:
    """The marks of a finished training, from the card of its weights."""
    card = artifact(variant, "model.json") if variant else None
    config = read_json(card).get("config", {}) if card and card.is_file() else {}
    return {key: str(config[key]) for key in TRAINING_MARKS if key in config}


def _earlier(stage: str, variant: str | None, outputs: str) -> Beginning:
    """What a stage that ran earlier began with; its commit only where its own note of these results tells of it."""
    path = _note(stage, variant)
    note = read_json(path) if path.is_file() else {}
    if not outputs or note.get("outputs") != outputs:
        note = {}
    return Beginning(
        load_params(),
        _data_sha256(),
        _training(variant),
        dict(note.get("tags", {})),
        note.get("changes", ""),
        note.get("began"),
        note.get("ended"),
    )


def _now() -> int:
    return int(time.time() * 1000)


def _note(stage: str, variant: str | None) -> Path:
    return WORK / "runs" / (f"{stage}-{variant}.json" if variant else f"{stage}.json")
