"""How a network is fitted: a typed, torch-free description, read and checked like those of ``models/spec.py``."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from models.sampler_spec import SigmaSamplerSpec
from models.spec import STRICT, require

MOST = 9_999_999
"""Steps, and whatever is counted in them: seven digits, as in the names of checkpoints, which are sorted by them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSpec:
    """How a network is fitted. The budget is a number of steps, so that a resumed run equals an unbroken one."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    steps: int
    distil_steps: int
    """How many of the steps, the last ones, teach the model to jump; see :mod:`models.distillation`."""
    distilled: SigmaSamplerSpec | None
    """The sampler whose jump they teach; None, without such steps, teaches none."""
    batch: int
    optimizer: Literal["adam", "muon"]
    """``muon``: orthogonalised momentum for the hidden weight matrices, Adam for everything else."""
    lr: float
    """Peak learning rate of Adam."""
    adam_betas: tuple[float, float]
    """Decay of Adam's averages of gradients and of their squares."""
    muon_lr: float
    """Peak learning rate of Muon; unused, and 0, with ``adam``."""
    warmup_steps: int
    decay: Literal["constant", "linear"]
    grad_clip: float
    """Largest global gradient norm."""
    ema_lag: float
    """How far the averaged weights lie back, as a share of the training so far: 0 is off, 0.5 the mean of all."""
    label_drop: float
    """Share of the images whose label is hidden, for classifier-free guidance."""
    log_every: int
    validate_every: int
    validation_images: int
    """Held-out images behind each validation loss, always the same ones with the same noise."""
    checkpoint_every: int
    snapshots: int
    """Number of times that the averaged weights are kept, spread evenly over the run; the last are the result."""
    repeat: int
    """Number of this training among several of the same settings, each with weights, batches and noise of its own."""

    def __post_init__(self) -> None:
        for key in ("steps", "batch", "snapshots", "validation_images"):
            require(1 <= getattr(self, key) <= MOST, key, f"a number from 1 to {MOST}")
        for key in ("log_every", "validate_every", "checkpoint_every"):
            require(1 <= getattr(self, key) <= MOST, key, f"a number from 1 to {MOST}")
        require(self.snapshots <= self.steps, "snapshots", "at most the number of steps")
        require(0.0 < self.lr <= 1.0, "lr", "a number above 0, at most 1")
        decays = all(0.0 <= beta < 1.0 for beta in self.adam_betas)
        require(decays, "adam_betas", "two numbers from 0 up to, not including, 1")
        positive = self.optimizer == "muon"
        require(positive == (self.muon_lr > 0.0) and self.muon_lr <= 1.0, "muon_lr", "above 0 with muon, 0 with adam")
        require(0 <= self.warmup_steps < self.steps, "warmup_steps", "a number from 0 up to, not including, steps")
        others = 0 <= self.distil_steps < self.steps - self.warmup_steps
        require(others, "distil_steps", "a number from 0 up to, not including, steps - warmup_steps")
        self._require_lesson()
        require(0.0 < self.grad_clip <= 1000.0, "grad_clip", "a number above 0, at most 1000")
        require(0.0 <= self.ema_lag <= 0.5, "ema_lag", "a number from 0 to 0.5")
        require(0 <= self.repeat <= 1000, "repeat", "a number from 0 to 1000")
        require(0.0 <= self.label_drop < 1.0, "label_drop", "a number from 0 up to, not including, 1")

    @property
    def denoising_steps(self) -> int:
        """The steps before any distillation."""
        return self.steps - self.distil_steps

    def distils(self, step: int) -> bool:
        """Whether a step, counted from 0, is one of distillation."""
        return step >= self.denoising_steps

    def alike(self, done: int) -> int:
        """How many of the steps done were of the kind of the last one: denoising, or distillation.

        Args:
            done: steps done, from 1.
        """
        return done - self.denoising_steps if self.distils(done - 1) else done

    def _require_lesson(self) -> None:
        if self.distilled is None:
            require(self.distil_steps == 0, "distilled", "the sampler whose jump the distil_steps teach")
        else:
            require(self.distil_steps > 0, "distilled", "null without distil_steps")
            require(self.distilled.jumps, "distilled.jump_steps", "above 1, since a jump is what is taught")
