"""The project's own variants as contenders, exactly as the parameters of a run describe them."""

from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.arms import Arm, ClassImages
from benchmarks.contenders import Setup
from models.diffusion import Diffusion
from models.evaluations import evaluations
from models.training import Learner, train_steps
from tasks.batches import training_batches
from tasks.dataset import Split, load_split
from tasks.errors import ConfigError
from tasks.paths import WORK
from tasks.sample import Array, Sampling, sample_images
from tasks.seeds import training_seed
from tasks.side_by_side import in_few_words
from tasks.starts import fitted_start
from tasks.training_run import begin_run

NO_CHECKPOINTS = WORK / "benchmark"
"""Where a run would look for its checkpoints; nothing is ever written there."""


class Own:
    """A variant in training, as the train stage trains it but for checkpoints, validation and compiled kernels.

    Args:
        setup: see there.
        variant: its name in ``params.yaml``. Its training ends with the steps that it says.
        arm: changes batches or network for an experiment; its settings are expected in ``setup``. None for no change.

    Raises:
        ConfigError: the variant is guided by an early state.
    """

    def __init__(self, setup: Setup, variant: str, arm: Arm | None = None) -> None:
        spec = setup.params.variant(variant)
        if spec.sampling.guide == "early":
            key, what = f"variants.{variant}.sampling.guide", "is early, of which a benchmark keeps no weights"
            raise ConfigError(key, what, "unlabelled", "change it for the benchmark")
        seed = training_seed(setup.params.seed, spec.training.repeat)
        split, training = load_split("train"), spec.training
        self._run = begin_run(NO_CHECKPOINTS, spec, {"seed": seed}, split, setup.device)
        self._setup, self._sampler, diffusion = setup, spec.sampling, self._run.diffusion
        self._moments = fitted_start(diffusion, spec.sampling, setup.device)
        self._batches = partial(training_batches, diffusion, split, training, seed, 0, setup.device)
        if arm and arm.rewire:
            for model in (diffusion, self._run.ema.model):
                arm.rewire(model.network)
        batches = self._batches()
        if arm and arm.arrange:
            batches = arm.arrange(batches, class_images(diffusion, split, setup.device))
        learner = Learner(diffusion, self._run.optimizers, training, setup.precision, teacher=self._run.teacher)
        self._steps = train_steps(learner, batches)
        self.network, self.fitted_numbers = diffusion.network, diffusion.fitted_numbers
        self.batch, self.samplers = min(training.batch, len(split)), {evaluations(spec.sampling): self.draw}
        self.settings = in_few_words(spec)

    def step(self, share: float) -> bool:
        """See :class:`benchmarks.contenders.Contender`; the learning rate follows the steps, not the time."""
        report = next(self._steps, None)
        if report is None:
            return False
        self._run.take_in(report)
        return True

    def loss(self) -> Tensor:
        """See :class:`benchmarks.contenders.Contender`."""
        batch = next(self._batches())
        with self._setup.precision:
            return self._run.diffusion.loss(batch.x0, batch.labels, batch.keep, batch.draw).mean()

    def draw(self, labels: Array, seeds: Array) -> Tensor:
        """See :data:`benchmarks.contenders.Draw`; drawn from the averaged weights, as in the sample stage."""
        setup, model = self._setup, self._run.ema.model
        sampling = Sampling(model, self._sampler, len(labels), setup.device, setup.precision, self._moments)
        return torch.from_numpy(sample_images(sampling, labels, seeds))


def class_images(diffusion: Diffusion, split: Split, device: torch.device) -> ClassImages:
    """The training images of a class as the model sees clean ones; each class is encoded once."""

    @cache
    def images_of(label: int) -> Tensor:
        return diffusion.encode(split.images[split.labels == label].to(device)).flatten(1)

    return images_of


def build(setup: Setup, variant: str) -> Own:
    """Build a variant; fitting its prior is part of it."""
    return Own(setup, variant)
