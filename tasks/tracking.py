"""The mirror in MLflow: every figure, picture and checkpoint of a run, written once, from the files of the workspace.

The files are the truth. A tracking store that is down, hangs or is locked costs a few seconds and one warning;
``python -m flows.reconcile`` writes what is missing later. Only clients are used, never MLflow's global state.
"""

import json
import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.lineage import ORIGIN, stage_name
from tasks.locks import LOCKS, locked
from tasks.paths import project_root
from tasks.records import (
    RECORDED,
    Beginning,
    Point,
    RunRecord,
    Snapshot,
    group_record,
    note_run,
    outputs_digest,
    record,
)
from tasks.tracking_place import (
    TrackingError,
    experiment_name,
    is_gone,
    probe,
    process_name,
    reconcile_command,
    sqlite_file,
    tracking_address,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

logger = logging.getLogger(__name__)
LOCK_SECONDS = 4.0
CREATION_SECONDS = 60.0
BATCH = 900
FINISHED = "FINISHED"
WRITING = threading.Lock()


def publish(
    stage: str, variant: str | None, status: str, tags: Mapping[str, str], begun: Beginning | None
) -> str | None:
    """Write a stage's run to MLflow, or complete what is there of it.

    Args:
        stage: the stage's name; one that leaves no record is passed over.
        variant: its variant, or None.
        status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        tags: further tags, such as the flow run's id.
        begun: what the stage began with; None for one that ran earlier, whose results ``dvc.lock`` proves current.

    Returns:
        The run's place in the MLflow interface, beginning with ``#/``; None where nothing was written.
    """
    if stage not in RECORDED:
        return None
    try:
        if begun:
            note_run(stage, variant, begun, status == FINISHED, tags)
        with_results = record(stage, variant, begun, finished=status == FINISHED)
        with _writing_lock():
            return Writer(*open_store()).write(with_results, status, tags, settled=begun is None)
    except Exception as error:  # whatever becomes of the mirror, the stage's own result stands
        text = " ".join(str(error).split())[:200]
        name, later = stage_name(stage, variant), reconcile_command()
        logger.warning("warning: MLflow was not told of %s (%s); %s does it later", name, text, later)
        return None


def complete(stages: Iterable[tuple[str, str | None]]) -> int:
    """Complete the records of stages that ran earlier, until there are no more or the store cannot be used.

    A stage whose own files cannot be read, or whose record the store does not take, costs its warning and no other
    stage its record.

    Args:
        stages: names and variants; their results are proved current by ``dvc.lock``.

    Returns:
        How many records are complete.
    """
    told = 0
    for stage, variant in stages:
        if publish(stage, variant, FINISHED, {}, None):
            told += 1
        elif not is_usable():
            break
    return told


def is_usable() -> bool:
    """Whether the tracking store can be opened and written now."""
    try:
        open_store()
    except Exception:  # whatever it is, it would stop every record
        return False
    return True


def close_stale_runs() -> None:
    """Mark runs as killed that are open although the process that wrote them is gone from this machine."""
    try:
        client, experiment = open_store()
        for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            if is_gone(run.data.tags.get("run.process", "")):
                client.set_terminated(run.info.run_id, "KILLED")
    except Exception as error:  # whatever becomes of the mirror, nothing depends on it
        logger.warning("warning: MLflow's open runs were not looked at (%s)", " ".join(str(error).split())[:200])


def open_store() -> tuple["MlflowClient", str]:
    """A client of the tracking store and the id of the workspace's experiment, both created if need be.

    Raises:
        TrackingError: the store does not answer, or is locked.
    """
    address = tracking_address()
    if (path := sqlite_file(address)) is not None:
        create_store(path)
    probe(address)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address)
    name = experiment_name()
    if client.get_experiment_by_name(name) is None:
        place = str(project_root() / "mlartifacts" / name) if path else None
        with suppress(MlflowException):  # someone else has just created it
            client.create_experiment(name, artifact_location=place)
    found = client.get_experiment_by_name(name)
    if found is None:
        raise TrackingError(f"it does not take the experiment {name}")
    return client, str(found.experiment_id)


def create_store(path: Path) -> None:
    """Create the SQLite file with its tables, once: under a lock, and under another name until it is whole."""
    with locked(project_root() / LOCKS / "mlflow.lock", CREATION_SECONDS):
        if path.exists():
            return
        from mlflow.tracking import MlflowClient

        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        MlflowClient(f"sqlite:///{part}").search_experiments()
        part.replace(path)


class Writer:
    """Writes records through one client into one experiment."""

    def __init__(self, client: "MlflowClient", experiment: str) -> None:
        self._client, self._experiment = client, experiment

    def begin(self, found: RunRecord, settled: bool = False) -> tuple["Run", "Run"]:
        """The parent run and the stage's own run, found or created.

        A run that has no results yet is taken up again. A settled record looks first for the run with its results,
        one that has just ended for the run that it began.
        """
        trained = outputs_digest("train", found.variant) if found.variant else ""
        own = found.stage == "train"
        parent = self._run(group_record(found), "" if own and not found.outputs else trained, settled or not own, None)
        return parent, self._run(found, found.outputs, settled, parent.info.run_id)

    def write(self, found: RunRecord, status: str, tags: Mapping[str, str], settled: bool) -> str:
        """Write everything of a record that is not there yet; returns the run's place in the interface."""
        parent, run = self.begin(found, settled)
        run_id = run.info.run_id
        self._tag(run, {**found.tags, **tags, "run.outputs": found.outputs})
        if found.stage == "train":
            self._tag(parent, {**group_record(found).tags, "run.outputs": found.outputs})
        self._add_points(run, found.points, self._judged_model(parent, found))
        self._add_points(parent, found.points)
        self._add_files(run, found)
        for snapshot in found.snapshots:
            self._add_model(run, snapshot)
        for each in (run, parent):
            self._close(each, status, found.begun.ended)
        return f"#/experiments/{self._experiment}/runs/{run_id}"

    def _close(self, run: "Run", status: str, ended: int | None) -> None:
        """Give a run its status and its end; one that was through before ends with the last stage that it holds."""
        later = ended is not None and ended > (run.info.end_time or 0)
        if run.info.status != status or later:
            self._client.set_terminated(run.info.run_id, status, ended)

    def add_live(self, run_ids: Iterable[str], points: Iterable[Point]) -> None:
        """Add figures to runs that are under way."""
        chosen = list(points)
        for run_id in run_ids:
            self._add_points(self._client.get_run(run_id), chosen)

    def _run(self, found: RunRecord, outputs: str, exact_first: bool, parent: str | None) -> "Run":
        within = f" AND tags.`mlflow.parentRunId` = '{parent}'" if parent else ""
        query = f"tags.`run.identity` = '{found.identity}' AND tags.stage = '{found.stage}'{within}"
        runs = self._client.search_runs([self._experiment], query, order_by=["attributes.start_time DESC"])
        wanted = (outputs, "") if exact_first else ("", outputs)
        by_outputs = {run.data.tags.get("run.outputs", ""): run for run in reversed(runs)}
        run = next((by_outputs[digest] for digest in wanted if digest in by_outputs), None)
        if run is None:
            return self._create(found, parent)
        through = exact_first and run.info.status == FINISHED
        return run if outputs or through else self._taken_up(run.info.run_id)

    def _taken_up(self, run_id: str) -> "Run":
        """A run without results that goes on, in this process."""
        self._client.update_run(run_id, status="RUNNING")
        self._client.set_tag(run_id, "run.process", process_name())
        return self._client.get_run(run_id)

    def _create(self, found: RunRecord, parent: str | None) -> "Run":
        from mlflow.entities import Dataset, DatasetInput, Param

        name = found.variant or "judges" if parent is None else found.stage
        tags = {**found.tags, "run.identity": found.identity, "stage": found.stage, "run.process": process_name()}
        if parent:
            tags["mlflow.parentRunId"] = parent
        run = self._client.create_run(self._experiment, found.begun.began, tags, run_name=name)
        run_id = run.info.run_id
        self._client.log_batch(run_id, params=[Param(key, value) for key, value in found.params.items()])
        if data_sha256 := found.begun.data_sha256:
            source = json.dumps({"path": "data/prepared", "sha256": data_sha256})
            data = Dataset(found.params["data.source"], data_sha256[:16], "local", source)
            self._client.log_inputs(run_id, [DatasetInput(data)])
        if "git.commit" in found.tags and found.begun.changes:
            self._client.log_text(run_id, found.begun.changes, "git/diff.patch")
        return run

    def _tag(self, run: "Run", tags: Mapping[str, str]) -> None:
        """Set tags; where a run with results came from stands, and where one without goes on is where it comes from."""
        from mlflow.entities import RunTag

        run_id, known = run.info.run_id, {key for key in run.data.tags if key.startswith(ORIGIN)}
        origin = {key for key in tags if key.startswith(ORIGIN)}
        settled = bool(known and run.data.tags.get("run.outputs"))
        for key in known - origin if origin and not settled else ():
            self._client.delete_tag(run_id, key)
        new = {key: value for key, value in tags.items() if value and not (settled and key in origin)}
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in new.items()])

    def _add_points(self, run: "Run", points: Iterable[Point], model_id: str | None = None) -> None:
        """Add the figures that the run does not have yet."""
        from mlflow.entities import Metric

        run_id, now = run.info.run_id, int(time.time() * 1000)
        chosen = [point for point in points if math.isfinite(point.value)]
        known = self._known(run, chosen)
        new = [point for point in chosen if known.get((point.key, point.step)) != point.value]
        metrics = [Metric(point.key, point.value, now, point.step, model_id=model_id) for point in new]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def _known(self, run: "Run", points: list[Point]) -> dict[tuple[str, int], float]:
        run_id, latest = run.info.run_id, run.data.metrics
        series = {point.key for point in points if point.step} & set(latest)
        known = {(key, 0): value for key, value in latest.items() if key not in series}
        for key in sorted(series):
            known |= {(key, metric.step): metric.value for metric in self._client.get_metric_history(run_id, key)}
        return known

    def _add_files(self, run: "Run", found: RunRecord) -> None:
        import pandas as pd

        run_id = run.info.run_id
        for name, path in found.tables.items():
            folder = name.rpartition("/")[0]
            if name not in {item.path for item in self._client.list_artifacts(run_id, folder)}:
                self._client.log_table(run_id, pd.read_csv(path), name)
        for path in found.files:
            self._client.log_artifact(run_id, str(path), "files")
        shown = [Path(item.path).name for item in self._client.list_artifacts(run_id, "images")] if found.grids else []
        for grid in found.grids:
            begin = f"{grid.key.replace('/', '~')}+step+{grid.step}+"
            if not any(name.startswith(begin) for name in shown):
                self._client.log_image(run_id, grid.pixels, key=grid.key, step=grid.step, synchronous=True)

    def _add_model(self, run: "Run", snapshot: Snapshot) -> None:
        """Keep weights as a model of the run, with what was measured of them, unless they are there."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        run_id = run.info.run_id
        if snapshot.name in {model.name for model in self._models(run_id) if model.status == LoggedModelStatus.READY}:
            return
        params = {"step": str(snapshot.step), "format": "safetensors"}
        model = self._client.create_logged_model(self._experiment, snapshot.name, run_id, params=params)
        self._client.log_model_artifact(model.model_id, str(snapshot.file))
        self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, snapshot.step)])
        self._add_points(run, snapshot.points, model.model_id)

    def _judged_model(self, parent: "Run", found: RunRecord) -> str | None:
        """The last checkpoint of the variant, to which a judge's figures belong."""
        if found.stage not in ("score", "evaluate", "sweep"):
            return None
        within = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' AND tags.stage = 'train'"
        trained = self._client.search_runs([self._experiment], within)
        models = [model for run in trained for model in self._models(run.info.run_id)]
        return max(models, key=lambda model: int(model.params.get("step", 0))).model_id if models else None

    def _models(self, run_id: str) -> list[Any]:
        return list(self._client.search_logged_models([self._experiment], f"source_run_id = '{run_id}'"))


@contextmanager
def _writing_lock() -> Iterator[None]:
    """Wait for the thread that sends live figures.

    Raises:
        TrackingError: it holds on for too long.
    """
    if not WRITING.acquire(timeout=LOCK_SECONDS):
        raise TrackingError("it has not taken the live figures yet")
    try:
        yield
    finally:
        WRITING.release()
