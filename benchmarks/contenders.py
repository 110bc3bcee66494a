"""Who is compared, and what is asked of each: a new peer is one class in a file of its own and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Protocol

import torch
from torch import Tensor, nn

from tasks.config import PARAMS, load_params, profile_file
from tasks.params import Params
from tasks.precision import autocast, chosen_precision
from tasks.reproducibility import prepare_compute
from tasks.sample import Array


@dataclass(frozen=True, slots=True)
class Setup:
    """What every contender is built from; it reads the training images itself.

    Attributes:
        params: the project's parameters.
        device: where networks run.
        precision_name: ``float32`` or ``bfloat16``.
        precision: reusable context of their forward passes.
    """

    params: Params
    device: torch.device
    precision_name: str
    precision: torch.autocast


def setup_on_cpu() -> Setup:
    """The parameters of the current folder, with all networks on the CPU.

    The course's model is that of `make full`: the default report trains it too briefly to stand for it.

    Raises:
        ConfigError: the parameters are wrong.
    """
    params = load_params()
    variants = {**params.variants, "course": load_params(PARAMS, profile_file("full")).variant("course")}
    return setup_of(replace(params, compute=replace(params.compute, device="cpu"), variants=variants))


def setup_of(params: Params) -> Setup:
    """These parameters, with all networks on the device that they say, on as many threads."""
    device = prepare_compute(params.compute)
    return Setup(params, device, chosen_precision(params.compute, device), autocast(params.compute, device))


Draw = Callable[[Array, Array], Tensor]
"""(classes int64 [N], image seeds int64 [N]) -> images uint8 (N, 28, 28)."""


class Contender(Protocol):
    """A model in training.

    Attributes:
        settings: how it is trained and sampled, in a few words.
        network: whose parameters are counted.
        fitted_numbers: how many others were learnt from the training images, in closed form.
        batch: training images a step.
        samplers: by how often the network looks at each image, the ways to draw; the best of several counts.
    """

    settings: str
    network: nn.Module
    fitted_numbers: int
    batch: int
    samplers: Mapping[int, Draw]

    def step(self, share: float) -> bool:
        """Take a training step, when a share of the time is gone; false where none is left to take."""

    def loss(self) -> Tensor:
        """Mean loss of a training batch, with its graph, so that its operations can be counted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One training of a contender. Where several carry a name, the best of them stands for it.

    Attributes:
        name: of the contender.
        module: of this package; its ``build`` takes a :class:`Setup` and the option.
        option: what tells entries of a module apart: the name of a variant, or a learning rate.
    """

    name: str
    module: str
    option: str | float

    def builder(self) -> Callable[[Setup], Contender]:
        """The function that builds the contender, with its libraries loaded: importing them is not training."""
        build = import_module(f"benchmarks.{self.module}").build
        return lambda setup: build(setup, self.option)


RATES = (1e-4, 5e-4, 1e-3)
"""Tried of every other library; the first is that of the libraries' own example and trainer."""
SAMPLING_STEPS = (8, 12, 20)
"""Of their solver, tried at each check.

After 300 s of training the network of diffusers had an FID of 12.9 by 8 steps, 15.9 by 20 and 17.4 by 40, and that of
denoising-diffusion-pytorch 40.0 by 5 steps, 24.0 by 8 and 26.3 by 20 (1,000 images each).
"""
ENTRIES = (
    Entry("flagship", "own", "flagship"),
    Entry("course", "own", "course"),
    *(Entry("diffusers", "diffusers_unet", lr) for lr in RATES),
    *(Entry("denoising-diffusion-pytorch", "lucidrains_unet", lr) for lr in RATES),
)
PEERS = ("diffusers", "denoising-diffusion-pytorch")
"""Packages whose versions stand beside the results."""


def own_names() -> list[str]:
    """The project's own variants among the entries."""
    return [entry.option for entry in ENTRIES if isinstance(entry.option, str)]
