"""The training loop as a generator: it yields what each step did and knows nothing of files, bars or clocks."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.diffusion import Diffusion, Draw
from models.layers import reseed_dropout
from models.muon import Muon, split_parameters
from models.training_spec import TrainingSpec

DISTILLING_LR = 0.1
"""Where the learning rates begin in distillation, as a share of their peaks."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything random about one step, drawn by the caller.

    Attributes:
        x0: encoded images, shape (B, 1, 28, 28).
        labels: class indices, shape (B,).
        keep: 1 where the label is shown and 0 where it is hidden, shape (B,).
        draw: noise levels and noise.
        seed: what the network itself draws, such as dropout, follows from this; 0 to 2^63 - 1.
        image_seeds: from each a teacher draws an image of the class; int64 in [0, 2^32), shape (B,).
    """

    x0: Tensor
    labels: Tensor
    keep: Tensor
    draw: Draw
    seed: int
    image_seeds: Tensor


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimiser step did.

    Attributes:
        step: number of steps done, this one included.
        loss: mean training loss of the batch, before the update.
        grad_norm: global gradient norm before clipping.
        lr: Adam's learning rate in this step.
        images: number of images in its batch.
    """

    step: int
    loss: float
    grad_norm: float
    lr: float
    images: int


class Peers(Protocol):
    """Processes that take every step together, each with a share of its batch."""

    @property
    def count(self) -> int:
        """How many there are."""

    def average(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Replace the gradients by their means over all processes.

        Args:
            loss: of this process's share, a single number.
            parameters: with gradients of this share.

        Returns:
            The mean loss of all shares.
        """


class Alone:
    """One process, whose share is all."""

    count = 1

    def average(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
        """The loss as it is; see :meth:`Peers.average`."""
        return loss


ALONE = Alone()


class NonFiniteError(ArithmeticError):
    """The loss or its gradient is not finite; the weights are those before the step.

    Args:
        step: the step that was not taken.
        name: what was not finite, with its value.
    """

    def __init__(self, step: int, name: str) -> None:
        super().__init__(f"step {step}: {name}")
        self.step = step


def lr_factor(step: int, spec: TrainingSpec) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then constant or linear to 0 at the end.

    Steps of distillation come after that end, and fall from :data:`DISTILLING_LR` to 0.

    Args:
        step: steps done before this one, 0 <= step < ``spec.steps``.
        spec: warm-up length, decay and numbers of steps.
    """
    if step < spec.warmup_steps:
        return (step + 1) / (spec.warmup_steps + 1)
    if spec.distils(step):
        return DISTILLING_LR * (spec.steps - step) / spec.distil_steps
    if spec.decay == "constant":
        return 1.0
    return (spec.denoising_steps - step) / (spec.denoising_steps - spec.warmup_steps)


def build_optimizers(diffusion: Diffusion, spec: TrainingSpec) -> list[Optimizer]:
    """Adam for every parameter, or Muon for the hidden matrices and Adam for the rest.

    Each parameter group remembers its peak learning rate as ``peak_lr``.
    """
    matrices, others = split_parameters(diffusion)
    if spec.optimizer == "adam":
        optimizers: list[Optimizer] = [_adam([*diffusion.parameters()], spec)]
    else:
        optimizers = [_adam(others, spec), Muon(matrices, spec.muon_lr)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


@dataclass(frozen=True, slots=True)
class Learner:
    """A model in training, and what moves it.

    Attributes:
        diffusion: the model, changed in place.
        optimizers: as built by :func:`build_optimizers`, in any state.
        spec: learning rates, clipping and number of steps.
        precision: reusable context of the forward pass, such as autocast.
        peers: the processes that take every step together.
        teacher: the model as it was when distillation began, in evaluation mode; asked in those steps alone.
    """

    diffusion: Diffusion
    optimizers: Sequence[Optimizer]
    spec: TrainingSpec
    precision: AbstractContextManager[Any]
    peers: Peers = ALONE
    teacher: Diffusion | None = None


def train_steps(learner: Learner, batches: Iterable[Batch], start: int = 0) -> Iterator[StepReport]:
    """Fit a diffusion model (Ho et al. 2020, algorithm 1), one optimiser step an item, and teach it to jump if asked.

    Args:
        learner: the model, changed in place, and what moves it.
        batches: this process's shares of the batches of steps ``start``, ``start + 1``, and so on.
        start: steps done before.

    Yields:
        The report of each step, after its update.

    Raises:
        NonFiniteError: before the update that would have used a loss or gradient that is not finite.
    """
    diffusion, spec, peers = learner.diffusion, learner.spec, learner.peers
    parameters = [p for p in diffusion.parameters() if p.requires_grad]
    diffusion.train()
    for step, batch in enumerate(batches, start=start):
        factor = lr_factor(step, spec)
        reseed_dropout(diffusion, batch.seed)
        with learner.precision:
            loss = _losses(learner, batch, step).mean()
        torch.autograd.backward(loss)
        shared = peers.average(loss.detach(), parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, spec.grad_clip)
        mean, length = torch.stack([shared.float(), norm.float()]).tolist()  # a GPU is waited for here
        _require_finite(mean, step, "loss")
        _require_finite(length, step, "gradient norm")
        for optimizer in learner.optimizers:
            _update(optimizer, factor)
        lr, images = spec.lr * factor, len(batch.labels) * peers.count
        yield StepReport(step=step + 1, loss=mean, grad_norm=length, lr=lr, images=images)


def _losses(learner: Learner, batch: Batch, step: int) -> Tensor:
    if learner.teacher is None or learner.spec.distilled is None or not learner.spec.distils(step):
        return learner.diffusion.loss(batch.x0, batch.labels, batch.keep, batch.draw)
    lesson = learner.teacher.lesson(learner.spec.distilled, batch.image_seeds, batch.labels)
    return learner.diffusion.distillation_loss(lesson, batch.labels)


def _adam(parameters: list[nn.Parameter], spec: TrainingSpec) -> Optimizer:
    return torch.optim.Adam(parameters, lr=spec.lr, betas=spec.adam_betas, fused=True)


def _update(optimizer: Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _require_finite(value: float, step: int, name: str) -> None:
    if not math.isfinite(value):
        raise NonFiniteError(step + 1, f"{name} is {value}")
