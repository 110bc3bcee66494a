"""Fit one variant: resumable at any moment, recorded row by row, stopped cleanly by signals and by bad numbers."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from models.spec import TrainingSpec
from models.training import NonFiniteError, StepReport, train_steps
from tasks.batches import training_batches
from tasks.compilation import compile_network
from tasks.dataset import Split, load_split
from tasks.errors import DivergedError, StoppedError
from tasks.files import sha256_file, sha256_json, write_json, write_table
from tasks.journal import HISTORY, NOISE_LEVELS, Journal, Row
from tasks.lineage import training_marks
from tasks.metrics import MetricSink, NullSink
from tasks.params import Compute, Variant
from tasks.paths import WORK, artifact, metrics_file, split_file
from tasks.precision import autocast, chosen_precision
from tasks.progress import track
from tasks.reproducibility import environment_record, prepare_compute
from tasks.resume_state import mark_published, sweep_recorded
from tasks.signals import stop_requests
from tasks.snapshots import UNTRAINED, publish_snapshots, snapshot_name, snapshot_steps, take_snapshot
from tasks.training_run import TrainingRun, begin_run
from tasks.twin_training import finished_twin, take_over
from tasks.validation import Validation
from tasks.weights import WEIGHTS, save_model

logger = logging.getLogger(__name__)


def run_training(
    variant: str,
    spec: Variant,
    compute: Compute,
    seed: int,
    sink: MetricSink | None = None,
    others: Iterable[str] = (),
) -> dict[str, Any]:
    """Train a variant, or go on where an interrupted run of the same identity stopped.

    Where another variant's finished training has the same identity, its results have the same bits and are taken over;
    see :mod:`tasks.twin_training`.

    Writes the averaged weights with their card, the history, the validation loss by noise level and the snapshots under
    ``artifacts/<variant>/``, and the summary that it returns under ``reports/metrics/train/``. The run's own state
    stays until ``dvc.lock`` holds these results; until then, running it again takes no step and writes the same bytes.

    Args:
        variant: its name.
        spec: its description, of which only the network, the process and the training count here.
        compute: device, threads and precision.
        seed: the user's seed.
        sink: told of every row of the history as it is written; whoever opened it closes it.
        others: the build's other variants, whose trainings may be this one too.

    Raises:
        StoppedError: a signal asked to stop; the state was saved.
        DivergedError: the loss or its gradient is not finite; the last checkpoint is kept.
        ConfigError: the run's folder holds a checkpoint of another configuration.
        IntegrityError: the run's checkpoints or snapshots, or its data, are damaged.
    """
    sweep_recorded()  # what is recorded was asked for anew
    device = prepare_compute(compute)
    config = run_config(spec, compute, seed)
    if twin := finished_twin(config, others):
        return take_over(variant, twin)
    split = load_split("train")
    folder = WORK / variant / sha256_json(config)[:16]
    run = begin_run(folder, spec, config, split, device)
    if compute.compile:
        compile_network(run.diffusion.network)
    validation = Validation(load_split("val"), spec.training.validation_images, seed, device)
    trainer = Trainer(variant, run, spec.training, validation, sink)
    trainer.fit(split, autocast(compute, device))
    return publish(trainer, environment_record(compute, device, chosen_precision(compute, device)))


def run_config(spec: Variant, compute: Compute, seed: int) -> dict[str, Any]:
    """Everything on which the bits of the trained weights depend; its hash names the run.

    Device and precision stand in it as they were chosen, so that ``auto`` is the run that it leads to.
    """
    config = {
        "network": asdict(spec.network),
        "process": asdict(spec.process),
        "training": asdict(spec.training),
        "seed": seed,
        "threads": compute.threads,
        "compile": compute.compile,
        "data_sha256": sha256_file(split_file("train")),
        **training_marks(compute),
    }
    plain: dict[str, Any] = json.loads(json.dumps(config))
    return plain


class Trainer:
    """Moves a run from step to step and writes down what happens.

    Args:
        variant: name of the variant being trained.
        run: the state to move.
        training: how to train.
        validation: fixed held-out questions.
        sink: told of every row of the history.
    """

    def __init__(
        self, variant: str, run: TrainingRun, training: TrainingSpec, validation: Validation, sink: MetricSink | None
    ) -> None:
        self.variant, self.run, self.training, self.validation = variant, run, training, validation
        self.journal = Journal(run.folder / "journal.jsonl", run.step)
        self.levels = Journal(run.folder / "noise_levels.jsonl", run.step)
        self._sink = sink or NullSink()
        self._snapshots = snapshot_steps(training)

    def fit(self, split: Split, precision: torch.autocast) -> None:
        """Take the steps that are left; see :func:`run_training` for the errors."""
        training, run, title = self.training, self.run, f"training {self.variant}"
        if run.step == UNTRAINED:
            take_snapshot(run.folder, run.ema.model, UNTRAINED)
        device = next(run.diffusion.parameters()).device
        batches = training_batches(run.diffusion, split, training, run.config["seed"], run.step, device)
        steps = train_steps(run.diffusion, run.optimizers, batches, training, precision, run.step)
        try:
            with stop_requests() as request:
                for report in track(steps, training.steps, title, run.step):
                    self._after(report)
                    if request.signal_number:
                        saved = run.save()
                        raise StoppedError(request.signal_number, "training", f"it resumes from {saved}")
        except NonFiniteError as error:
            remedy = "lower the learning rate"
            raise DivergedError(title, f"diverged at {error}", "finite numbers", remedy) from error

    def _after(self, report: StepReport) -> None:
        run, training, step = self.run, self.training, report.step
        run.step = step
        run.ema.update(run.diffusion)
        run.window.append(report.loss)
        last = step == training.steps
        kept = step in self._snapshots
        if step % training.log_every == 0 or step == 1 or kept:
            self._log(report, validate=step % training.validate_every == 0 or kept)
        if kept:
            take_snapshot(run.folder, run.ema.model, step)
            for row in self.validation.by_level(run.ema.model):
                self.levels.append({"step": step, **row})
        if step % training.checkpoint_every == 0 or last:
            run.save()

    def _log(self, report: StepReport, validate: bool) -> None:
        run = self.run
        row: Row = {
            "step": report.step,
            "images": report.step * report.images,  # which may be fewer than the batch asked for
            "seconds": round(run.seconds, 3),
            "train_loss": sum(run.window) / len(run.window),
            "val_loss": self.validation.loss(run.ema.model) if validate else None,
            "lr": report.lr,
            "grad_norm": report.grad_norm,
        }
        run.window = []
        self.journal.append(row)
        self._sink.log(row, report.step)


def publish(trainer: Trainer, environment: dict[str, Any]) -> dict[str, Any]:
    """Turn a finished run into the variant's artefacts and return its summary."""
    variant, run, training = trainer.variant, trainer.run, trainer.training
    identity = sha256_json(run.config)
    parameters = sum(parameter.numel() for parameter in run.ema.model.parameters())
    card = {"variant": variant, "identity": identity, "config": run.config, "parameters": parameters}
    card["snapshots"] = publish_snapshots(variant, run.folder, training)
    digest = save_model(variant, run.ema.model, {**card, "environment": environment})
    write_table(artifact(variant, HISTORY), trainer.journal.table())
    write_table(artifact(variant, NOISE_LEVELS), pd.DataFrame(trainer.levels.rows))
    summary = {
        "variant": variant,
        "parameters": parameters,
        "identity": identity,
        "weights_sha256": digest,
        "data_sha256": run.config["data_sha256"],
        "environment": environment,
        **summary_of(trainer),
        "snapshots": [_validated_snapshot(trainer.journal.rows, step) for step in snapshot_steps(training)],
    }
    write_json(metrics_file("train", variant), summary)
    mark_published(run.folder, [artifact(variant, WEIGHTS), artifact(variant, HISTORY)])
    return summary


def summary_of(trainer: Trainer) -> dict[str, Any]:
    """The figures of a finished run's history."""
    rows, training = trainer.journal.rows, trainer.training
    validated = [row["val_loss"] for row in rows if row["val_loss"] is not None]
    images = rows[-1]["images"]
    return {
        "steps": training.steps,
        "images": images,
        "batch": training.batch,
        "train_loss_first": rows[0]["train_loss"],
        "train_loss_final": rows[-1]["train_loss"],
        "val_loss_final": validated[-1],
        "val_loss_best": min(validated),
        "seconds": rows[-1]["seconds"],
        "images_per_second": images / max(rows[-1]["seconds"], 1e-3),
    }


def _validated_snapshot(rows: list[Row], step: int) -> dict[str, Any]:
    (val_loss,) = (row["val_loss"] for row in rows if row["step"] == step)
    return {"step": step, "val_loss": val_loss, "file": snapshot_name(step)}


train_task = task(name="train", cache_policy=NO_CACHE)(run_training)
