"""What is written down of a training on its way: rows of history, validation by noise level, snapshots, checkpoints."""

from models.training import StepReport
from models.training_spec import TrainingSpec
from tasks.journal import Journal, Row
from tasks.metrics import MetricSink, NullSink
from tasks.snapshots import UNTRAINED, snapshot_steps, take_snapshot
from tasks.training_run import TrainingRun
from tasks.validation import Validation


class Recorder:
    """Writes down what happens to a run.

    Args:
        run: the state that moves; where nothing was done yet, its untrained weights are the first snapshot.
        training: how it is trained, and how often it is looked at.
        validation: fixed held-out questions.
        sink: told of every row of the history.
    """

    def __init__(
        self, run: TrainingRun, training: TrainingSpec, validation: Validation, sink: MetricSink | None
    ) -> None:
        self.run, self.training, self.validation = run, training, validation
        self.journal = Journal(run.folder / "journal.jsonl", run.step)
        self.levels = Journal(run.folder / "noise_levels.jsonl", run.step)
        self._sink = sink or NullSink()
        self._snapshots = snapshot_steps(training)
        if run.step == UNTRAINED:
            take_snapshot(run.folder, run.ema.model, UNTRAINED)

    def after(self, report: StepReport) -> None:
        """Write down what is due after a step."""
        run, training, step = self.run, self.training, report.step
        last = step == training.steps
        kept = step in self._snapshots
        validated = kept or step % training.validate_every == 0
        if validated or step % training.log_every == 0 or step == 1:
            self._log(report, validate=validated)
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
