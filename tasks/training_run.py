"""One training run's state: built fresh or resumed from the newest valid checkpoint, saved whole."""

import copy
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from models.build import build_diffusion
from models.diffusion import Diffusion
from models.ema import Ema
from models.pixels import pixel_statistics
from models.training import StepReport, build_optimizers
from models.training_spec import TrainingSpec
from tasks.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from tasks.dataset import Split
from tasks.seeds import derived_seed, torch_generator
from tasks.variants import Variant

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class TrainingRun:
    """Everything that training changes.

    Attributes:
        folder: where the run keeps its state between interruptions.
        config: what the state belongs to.
        training: what was asked for.
        diffusion: the model being fitted.
        ema: its averaged copy, which becomes the result.
        teacher: what the average is when distillation begins; None where there is none.
        optimizers: with their moments.
        step: steps done.
        window: losses since the last row of the journal.
        seconds_before: time spent before this process took over.
        processes: how many trained it together, one number for each time that this changed.
    """

    folder: Path
    config: dict[str, Any]
    training: TrainingSpec
    diffusion: Diffusion
    ema: Ema[Diffusion]
    teacher: Diffusion | None
    optimizers: list[Optimizer]
    step: int = 0
    window: list[float] = field(default_factory=list)
    seconds_before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    processes: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Time spent on the run so far, over all the processes that worked on it."""
        return self.seconds_before + time.monotonic() - self.started

    def take_in(self, report: StepReport) -> None:
        """Follow a step that was taken; weights that denoise are no part of the average of those that jump."""
        self.step = report.step
        self.ema.update(self.diffusion, self.training.alike(self.step))
        if self.teacher is not None and self.step == self.training.denoising_steps:
            self.teacher.load_state_dict(self.ema.model.state_dict())
        self.window.append(report.loss)

    def trained_by(self, count: int) -> None:
        """Note how many processes take the next steps."""
        if self.processes[-1:] != [count]:
            self.processes.append(count)

    def save(self) -> Path:
        """Write a checkpoint of the whole state."""
        notes = {"seconds": self.seconds, "window": self.window, "processes": self.processes}
        return save_checkpoint(self.folder, Checkpoint(self.step, self._tensors(), notes), self.config)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint."""
        self.diffusion.load_state_dict(_below("model.", checkpoint.tensors))
        self.ema.load_state_dict(_below("ema.", checkpoint.tensors))
        if self.teacher is not None:
            self.teacher.load_state_dict(_below("teacher.", checkpoint.tensors))
        for index, optimizer in enumerate(self.optimizers):
            _restore_optimizer(optimizer, _below(f"optimizer{index}.", checkpoint.tensors))
        self.step = checkpoint.step
        self.window = list(checkpoint.notes["window"])
        self.processes = list(checkpoint.notes["processes"])
        self.seconds_before = float(checkpoint.notes["seconds"])
        logger.info("training goes on after step %d, from %s", self.step, self.folder)

    def _tensors(self) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        parts.update(_prefixed("model.", self.diffusion.state_dict().items()))
        parts.update(_prefixed("ema.", self.ema.state_dict().items()))
        if self.teacher is not None:
            parts.update(_prefixed("teacher.", self.teacher.state_dict().items()))
        for index, optimizer in enumerate(self.optimizers):
            parts.update(_prefixed(f"optimizer{index}.", _optimizer_tensors(optimizer)))
        return parts


def begin_run(folder: Path, spec: Variant, config: dict[str, Any], split: Split, device: torch.device) -> TrainingRun:
    """Build a run from its description and resume it where a checkpoint allows.

    Args:
        folder: where the run keeps its state.
        spec: the variant.
        config: identity of the run, with the user's ``seed``.
        split: training images, whose statistics scale the pixels and make the prior.
        device: where to train.

    Raises:
        ConfigError: the newest valid checkpoint belongs to another configuration.
        IntegrityError: there are checkpoints, and all are damaged.
    """
    started = time.monotonic()  # what is learnt in closed form is training too
    diffusion = build_diffusion(spec.network, spec.process, derived_seed(config["seed"], "weights"))
    checkpoint = newest_checkpoint(folder, config)
    if checkpoint is None:  # else what is learnt in closed form lies in it, with the weights
        pixels = pixel_statistics(split.images)
        diffusion.fit_pixels(pixels.mean_image, pixels.std)
        diffusion.fit_prior(split.images, split.labels, torch_generator(config["seed"], "prior"))
    diffusion = diffusion.to(device)
    ema = Ema(diffusion, spec.training.ema_lag)
    teacher = copy.deepcopy(ema.model) if spec.training.distil_steps else None
    optimizers = build_optimizers(diffusion, spec.training)
    run = TrainingRun(folder, config, spec.training, diffusion, ema, teacher, optimizers, started=started)
    if checkpoint is not None:
        run.resume(checkpoint)
    return run


def _prefixed(prefix: str, items: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value.detach().cpu().contiguous().clone() for name, value in items}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer_tensors(optimizer: Optimizer) -> list[tuple[str, Tensor]]:
    state = optimizer.state_dict()["state"]
    return [(f"{index}.{key}", value) for index, entry in state.items() for key, value in entry.items()]


def _restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
