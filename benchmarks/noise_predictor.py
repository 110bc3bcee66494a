"""What peers that predict the noise of a DDPM have in common: their batches, a step, and drawing by DPM-Solver++."""

import math
from abc import ABC, abstractmethod
from functools import partial

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor, nn

from benchmarks.contenders import SAMPLING_STEPS, Setup
from models.noise import ImageNoise
from models.pixels import from_signed, to_signed
from models.sigma_levels import sigma_grid
from tasks.batches import BatchOrder
from tasks.dataset import load_split
from tasks.sample import Array
from tasks.seeds import torch_generator

BATCH = 16
"""That of both libraries' own example and trainer.

In batches of 64 the network of diffusers sees a third more images a second, but takes a third of the steps: after 300 s
at 5e-4 it had an FID of 57, where in batches of 16 it had 31. What 900 s do is less clear: on an idle machine, on
which it saw 97,280 images, batches of 64 came to 15.7, and on a busy one, with 44,112 images, batches of 16 to 19.1.
"""
TIMES = 1000
STRONGEST = 164.0
"""Noise from which to draw where a schedule ends in more: what diffusers advises for cosine ones, e^5.1."""
RHO = 7.0
GRAD_CLIP = 1.0


class NoisePredictor(ABC):
    """A peer's network in training; see :class:`benchmarks.contenders.Contender`.

    Args:
        setup: see there.
        network: untrained, on the device of the setup.
        solver: of the peer's noise schedule.
        optimizer: its name and learning rate.
    """

    def __init__(self, setup: Setup, network: nn.Module, solver: DPMSolverMultistepScheduler, optimizer: str) -> None:
        split = load_split("train")
        self._images, self._labels = split.images.to(setup.device), split.labels.to(setup.device)
        self._order = BatchOrder(len(split), BATCH, setup.params.seed, setup.device)
        self.network, self.weights, self.fitted_numbers = network, list(network.parameters()), 0
        self.batch = min(BATCH, len(split))
        self.samplers = {steps: partial(self.draw, steps) for steps in SAMPLING_STEPS}
        self.settings = f"steps of {self.batch}, {optimizer}, DPM-Solver++(2M)"
        self._setup, self.solver, self._done = setup, solver, 0

    @abstractmethod
    def error(self, x0: Tensor, eps: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """The peer's own training loss: how badly it tells the noise of images (B, 1, 28, 28) in [-1, 1]."""

    @abstractmethod
    def update(self, share: float) -> None:
        """Move the weights along their clipped gradients, when a share of the time is gone, and average them."""

    @abstractmethod
    def predict(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """The noise in images (B, 1, 28, 28) at times (B,), as the averaged weights see it."""

    def step(self, share: float) -> bool:
        """See :class:`benchmarks.contenders.Contender`."""
        loss = self.loss()
        if not math.isfinite(loss.item()):
            raise ArithmeticError(f"step {self._done + 1}: loss is {loss.item()}")
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.weights, GRAD_CLIP)
        self.update(share)
        self._done += 1
        return True

    def loss(self) -> Tensor:
        """See :class:`benchmarks.contenders.Contender`."""
        chosen = self._order.indices(self._done)
        generator = torch_generator(self._setup.params.seed, "train", self._done)
        x0 = to_signed(self._images[chosen])[:, None]
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        times = torch.randint(0, TIMES, (len(x0),), generator=generator).to(x0.device)
        with self._setup.precision:
            return self.error(x0, eps, times, self._labels[chosen])

    @torch.no_grad()
    def draw(self, steps: int, labels: Array, seeds: Array) -> Tensor:
        """See :data:`benchmarks.contenders.Draw`; drawn from the averaged weights in so many steps."""
        device, solver = self._setup.device, self.solver
        solver.set_timesteps(timesteps=drawing_times(solver.alphas_cumprod, steps))
        classes, x = torch.from_numpy(labels).to(device), ImageNoise(seeds.tolist()).draw().to(device)
        for time in solver.timesteps:
            with self._setup.precision:
                eps = self.predict(x, time.to(device).expand(len(x)), classes)
            (x,) = solver.step(eps.float(), time, x, return_dict=False)
        return from_signed(x).squeeze(1).cpu()


def drawing_times(abar: Tensor, steps: int) -> list[int]:
    """The times, falling, whose noise is nearest to levels spread as in Karras et al. 2022, equation 5.

    Evenly spread times would leave a cosine schedule far too few steps through weak noise: from a perfect network, with
    20 of them, pixels of standard deviation 0.1 come out with 0.07.

    Args:
        abar: share of the image's variance that is left at each time, falling, shape (T,).
        steps: how many are wanted; there are less where two levels are nearest to the same time.
    """
    log_sigma = ((1.0 - abar) / abar).log() / 2.0
    weakest, strongest = log_sigma[[0, -1]].exp().tolist()
    levels = torch.tensor(sigma_grid(steps, weakest, min(strongest, STRONGEST), RHO)[:-1])
    times = (log_sigma - levels.log()[:, None]).abs().argmin(dim=1)
    return sorted(set(times.tolist()), reverse=True)
