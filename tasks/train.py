"""Fit one variant: resumable at any moment, recorded row by row, stopped cleanly by signals and by bad numbers."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from models.training import Learner, NonFiniteError, StepReport, train_steps
from tasks.batches import training_batches
from tasks.compilation import compile_network
from tasks.dataset import Split, load_split
from tasks.errors import DivergedError, StoppedError
from tasks.files import as_json, sha256_file, sha256_json, write_json, write_table
from tasks.final_loss import final_loss
from tasks.journal import HISTORY, NOISE_LEVELS, Row
from tasks.lineage import training_marks
from tasks.metrics import MetricSink
from tasks.params import Compute
from tasks.paths import WORK, artifact, metrics_file, split_file
from tasks.precision import autocast, chosen_precision
from tasks.progress import track
from tasks.ranks import Ranks, joined_ranks
from tasks.recorder import Recorder
from tasks.reproducibility import chosen_device, environment_record, prepare_compute
from tasks.resume_state import mark_published, sweep_recorded
from tasks.seeds import training_seed
from tasks.signals import stop_requests
from tasks.snapshots import publish_snapshots, snapshot_name, snapshot_steps
from tasks.training_run import TrainingRun, begin_run
from tasks.twin_training import finished_twin, take_over
from tasks.validation import Validation
from tasks.variants import Variant
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
        ConfigError: the run's folder holds a checkpoint of another configuration, or the processes of ``torchrun``
            were asked for different trainings.
        IntegrityError: the run's checkpoints or snapshots, or its data, are damaged.
    """
    device = prepare_compute(compute)
    config = run_config(spec, compute, seed)
    with joined_ranks(device) as ranks:
        sweep_recorded()  # what is recorded was asked for anew
        ranks.meet(sha256_json(config), device)
        twin = finished_twin(config, others)
        ranks.largest(int(twin is not None), device)  # the others hear of it here
        if twin:
            return take_over(variant, twin)
        split = load_split("train")
        run = begin_run(WORK / variant / sha256_json(config)[:16], spec, config, split, device)
        steps = steps_left(run, spec, compute, split, ranks)
        validation = Validation(load_split("val"), spec.training.validation_images, seed, device)
        recorder = Recorder(run, spec.training, validation, sink)
        follow(steps, recorder, ranks, f"training {variant}")
    return publish(variant, recorder, environment_record(compute, device, chosen_precision(compute, device)))


def assist_training(variant: str, spec: Variant, compute: Compute, seed: int) -> None:
    """Do a share of every step of :func:`run_training` in another process of ``torchrun``, and write nothing.

    Where the leader stops, for a signal or for numbers that are not finite, this ends too, and leaves the reason to it.

    Args:
        variant: see :func:`run_training`, also for the errors.
        spec: likewise.
        compute: likewise.
        seed: likewise.
    """
    device = prepare_compute(compute)
    config = run_config(spec, compute, seed)
    with joined_ranks(device) as ranks, stop_requests() as request, suppress(NonFiniteError):
        ranks.meet(sha256_json(config), device)  # the leader, once it has removed what must not be resumed
        if ranks.largest(0, device):  # the leader takes over another variant's training
            return
        split = load_split("train")
        run = begin_run(WORK / variant / sha256_json(config)[:16], spec, config, split, device)
        for report in steps_left(run, spec, compute, split, ranks):
            run.take_in(report)  # a teacher comes of the average
            if ranks.largest(request.signal_number, device):
                return


def run_config(spec: Variant, compute: Compute, seed: int) -> dict[str, Any]:
    """Everything on which the bits of the trained weights depend, but how many processes share the training.

    Its hash names the run, which so may be continued by more processes or fewer (see :mod:`tasks.ranks`).

    Device and precision stand in it as they were chosen, so that ``auto`` is the run that it leads to.
    """
    config = {
        "network": asdict(spec.network),
        "process": asdict(spec.process),
        "training": asdict(spec.training),
        "seed": training_seed(seed, spec.training.repeat),
        "threads": compute.threads,
        "compile": compute.compile,
        "data_sha256": sha256_file(split_file("train")),
        **training_marks(compute),
    }
    plain: dict[str, Any] = as_json(config)
    return plain


def steps_left(run: TrainingRun, spec: Variant, compute: Compute, split: Split, ranks: Ranks) -> Iterator[StepReport]:
    """Take the steps that are left, this process's share of each.

    Args:
        run: moved by the optimisers; what follows a step, such as the average, is for :meth:`TrainingRun.take_in`.
        spec: the variant.
        compute: precision, and whether to compile the network.
        split: training images.
        ranks: the processes that train together.
    """
    device = chosen_device(compute.device)
    for model in filter(None, (run.diffusion, run.ema.model, run.teacher)):
        ranks.agree(model, run.step)
    if run.step < spec.training.steps:
        run.trained_by(ranks.count)
    if compute.compile:
        compile_network(run.diffusion.network, device)
    batches = training_batches(run.diffusion, split, spec.training, run.config["seed"], run.step, device)
    precision = autocast(compute, device)
    learner = Learner(run.diffusion, run.optimizers, spec.training, precision, ranks, run.teacher)
    return train_steps(learner, map(ranks.share, batches), run.step)


def follow(steps: Iterator[StepReport], recorder: Recorder, ranks: Ranks, title: str) -> None:
    """Write down each step; see :func:`run_training` for the errors.

    Args:
        steps: those that are left.
        recorder: of the run.
        ranks: the processes that train together, which all stop after the same step.
        title: what the training is called.
    """
    run = recorder.run
    device = next(run.diffusion.parameters()).device
    try:
        with stop_requests() as request:
            for report in track(steps, recorder.training.steps, title, run.step):
                run.take_in(report)
                recorder.after(report)
                if stopped_by := ranks.largest(request.signal_number, device):
                    raise StoppedError(stopped_by, "training", f"it resumes from {run.save()}")
    except NonFiniteError as error:
        remedy = "lower the learning rate"
        raise DivergedError(title, f"diverged at {error}", "finite numbers", remedy) from error


def publish(variant: str, recorder: Recorder, environment: dict[str, Any]) -> dict[str, Any]:
    """Turn a finished run into the variant's artefacts and return its summary."""
    run, training = recorder.run, recorder.training
    identity = sha256_json(run.config)
    parameters = sum(parameter.numel() for parameter in run.ema.model.parameters())
    card = {"variant": variant, "identity": identity, "config": run.config, "parameters": parameters}
    card["snapshots"] = publish_snapshots(variant, run.folder, training)
    digest = save_model(variant, run.ema.model, {**card, "environment": environment})
    write_table(artifact(variant, HISTORY), recorder.journal.table())
    write_table(artifact(variant, NOISE_LEVELS), pd.DataFrame(recorder.levels.rows))
    summary = {
        "variant": variant,
        "parameters": parameters,
        "fitted_numbers": run.ema.model.fitted_numbers,
        "identity": identity,
        "weights_sha256": digest,
        "data_sha256": run.config["data_sha256"],
        "environment": environment,
        **summary_of(recorder),
        "snapshots": [_validated_snapshot(recorder.journal.rows, step) for step in snapshot_steps(training)],
    }
    write_json(metrics_file("train", variant), summary)
    mark_published(run.folder, [artifact(variant, WEIGHTS), artifact(variant, HISTORY)])
    return summary


def summary_of(recorder: Recorder) -> dict[str, Any]:
    """The figures of a finished run's history."""
    rows, training = recorder.journal.rows, recorder.training
    validated = [row["val_loss"] for row in rows if row["val_loss"] is not None]
    trained_on = rows[-1]["images"]  # those that a teacher drew too
    return {
        "steps": training.steps,
        "images": trained_on * training.denoising_steps // training.steps,
        "batch": training.batch,
        "train_loss_first": rows[0]["train_loss"],
        **final_loss(rows, training.steps - training.alike(training.steps)),
        "val_loss_final": validated[-1],
        "seconds": rows[-1]["seconds"],
        "images_per_second": trained_on / max(rows[-1]["seconds"], 1e-3),
        "processes": recorder.run.processes,
    }


def _validated_snapshot(rows: list[Row], step: int) -> dict[str, Any]:
    (val_loss,) = (row["val_loss"] for row in rows if row["step"] == step)
    return {"step": step, "val_loss": val_loss, "file": snapshot_name(step)}


train_task = task(name="train", cache_policy=NO_CACHE)(run_training)
