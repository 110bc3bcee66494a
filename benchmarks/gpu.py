"""What a GPU makes of the flagship: ``python -m benchmarks.gpu``, after ``make gpu``; written to ``GPU.md``.

Steps of training as the train stage takes them, with torch's own kernels and with compiled ones, and sampling; in
images a second, and as shares of what the same card does in products of large matrices and in convolutions of the
network's sizes.
"""

import copy
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import torch

from benchmarks.machine import machine_line
from benchmarks.own import NO_CHECKPOINTS
from benchmarks.speed import CPU, Mark, convolution_rate, flops, median_rate, work_rate
from benchmarks.tables import markdown_table
from flows.environment import prepare_environment
from flows.stage import CommandLine, guarded
from flows.workspace import built_workspace
from models.diffusion import Diffusion
from models.ema import Ema
from models.evaluations import evaluations
from models.training import Learner, build_optimizers, train_steps
from models.training_spec import MOST
from tasks.batches import training_batches
from tasks.compilation import compile_network
from tasks.config import load_params
from tasks.dataset import load_split
from tasks.errors import MissingResourceError
from tasks.files import write_text
from tasks.params import Params
from tasks.precision import autocast, chosen_precision
from tasks.reproducibility import prepare_compute
from tasks.sample import Sampling, balanced_requests, sample_images
from tasks.training_run import begin_run
from tasks.variants import Variant

RESULTS = Path(__file__).with_name("GPU.md")
MATRIX = 8192
SECONDS = 10.0
"""Of training for each rate, after its first step."""
SAMPLING_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """How fast training goes.

    Attributes:
        kernels: who made them.
        first_s: seconds of the first step, in which they are made or chosen.
        images_per_second: after it.
        gflops: floating-point operations of its convolutions and matrix products, in 10^9 a second.
        memory_gb: most memory of the card that was in use.
    """

    kernels: str
    first_s: float
    images_per_second: float
    gflops: float
    memory_gb: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rates of training stand beside.

    Attributes:
        card: its name.
        precision: of the networks.
        batch: training images a step.
        evaluations: of the network for each image that is drawn.
        matrix_gflops: of a product of two large matrices.
        convolution_gflops: of a convolution, see :func:`benchmarks.speed.convolution_rate`.
        sampled_per_second: images, in batches of ``sample.batch``.
    """

    card: str
    precision: str
    batch: int
    evaluations: int
    matrix_gflops: float
    convolution_gflops: float
    sampled_per_second: float


class GpuBench:
    """The flagship of a build, ready to be timed.

    Args:
        params: of the build.
        device: a GPU.
    """

    def __init__(self, params: Params, device: torch.device) -> None:
        self.params, self.device = params, device
        self.variant: Variant = params.variant("flagship")
        self.split = load_split("train")
        run = begin_run(NO_CHECKPOINTS, self.variant, {"seed": params.seed}, self.split, device)
        self._fresh, self.precision = run.diffusion, autocast(params.compute, device)
        self.dtype = getattr(torch, chosen_precision(params.compute, device))

    def diffusion(self) -> Diffusion:
        """A copy of the untrained model."""
        return copy.deepcopy(self._fresh)

    def training(self, kernels: str, prepare: Callable[[Diffusion], None]) -> TrainingSpeed:
        """Time training after ``prepare`` did what it wants to the model."""
        diffusion, spec = self.diffusion(), replace(self.variant.training, steps=MOST)
        ema = Ema(diffusion, spec.ema_lag)
        prepare(diffusion)
        batches = training_batches(diffusion, self.split, spec, self.params.seed, 0, self.device)
        torch.cuda.reset_peak_memory_stats()
        start, marks = time.monotonic(), list[Mark]()
        for step in train_steps(Learner(diffusion, build_optimizers(diffusion, spec), spec, self.precision), batches):
            ema.update(diffusion, step.step)
            marks.append((time.monotonic(), step.step * step.images))
            if marks[-1][0] - marks[0][0] >= SECONDS:
                break
        rate = median_rate(marks)
        memory = torch.cuda.max_memory_allocated() / 1e9
        return TrainingSpeed(kernels, marks[0][0] - start, rate, rate * self.operations() / 1e9, memory)

    def operations(self) -> float:
        """Floating-point operations of training on one image, counted on a few."""
        spec = replace(self.variant.training, batch=8)
        diffusion = self.diffusion()
        batch = next(training_batches(diffusion, self.split, spec, self.params.seed, 0, self.device))

        def work() -> None:
            torch.autograd.backward(diffusion.loss(batch.x0, batch.labels, batch.keep, batch.draw).mean())

        return flops(work) / spec.batch

    def sampling(self) -> float:
        """Images a second of the flagship's own sampler, with torch's kernels; the best of some rounds."""
        sample, sampler = self.params.sample, self.variant.sampling
        sampling = Sampling(self.diffusion().eval(), sampler, sample.batch, self.device, self.precision)
        labels, seeds = balanced_requests(sample.batch // 10, self.params.seed)
        seconds = (_seconds(lambda: sample_images(sampling, labels, seeds)) for _ in range(SAMPLING_ROUNDS))
        return len(labels) / min(seconds)

    def facts(self) -> Facts:
        """All but training."""
        training, left = self.variant.training, torch.randn(MATRIX, MATRIX, device=self.device, dtype=self.dtype)
        return Facts(
            card=torch.cuda.get_device_name(self.device),
            precision=str(self.dtype).removeprefix("torch."),
            batch=training.batch,
            evaluations=evaluations(self.variant.sampling),
            matrix_gflops=work_rate(lambda: left @ left),
            convolution_gflops=convolution_rate(self.variant.network, training.batch, self.dtype, self.device),
            sampled_per_second=self.sampling(),
        )


def _seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def main() -> None:
    """Measure and write the page.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: there is no build of the profile ``gpu``, or it ran on a CPU.
    """
    parser = CommandLine(prog="python -m benchmarks.gpu")
    parser.parse_args()
    os.chdir(built_workspace("gpu"))
    prepare_environment()
    params = load_params()
    device = prepare_compute(params.compute)
    if device == CPU:
        raise MissingResourceError("compute.device", "is a CPU", "a GPU", "build the profile gpu where there is one")
    bench = GpuBench(params, device)
    rows = [
        bench.training("torch's", lambda diffusion: None),
        bench.training("compiled", lambda diffusion: compile_network(diffusion.network, device)),
    ]
    write_text(RESULTS, page(bench.facts(), rows))
    sys.stdout.write(RESULTS.read_text())


def page(facts: Facts, trained: list[TrainingSpeed]) -> str:
    """The measurements for people."""
    told = f"""\
From `make gpu`, then `python -m benchmarks.gpu`: training in batches of {facts.batch:,}, in {facts.precision}. The
product of two matrices of {MATRIX} x {MATRIX} runs at {facts.matrix_gflops / 1e3:.0f} TFLOP/s, the better of the
network's two sizes of convolution, forward and backward, at {facts.convolution_gflops / 1e3:.0f}. Sampling with
{facts.evaluations} evaluations, with torch's kernels, by a network of the same size that is not trained, the best of
{SAMPLING_ROUNDS} rounds: {facts.sampled_per_second:,.0f} images/s."""
    head = ["kernels", "first step, s", "images/s", "TFLOP/s", "of a matrix product's", "of a convolution's", "GB"]
    table = markdown_table(head, (_cells(row, facts) for row in trained))
    return f"# The flagship on a GPU\n\n{fill(told, 120)}\n\n{table}\n\n{facts.card}; {machine_line()}.\n"


def _cells(row: TrainingSpeed, facts: Facts) -> list[str]:
    speed = [f"{row.first_s:.1f}", f"{row.images_per_second:,.0f}", f"{row.gflops / 1e3:.1f}"]
    shares = [f"{row.gflops / rate:.0%}" for rate in (facts.matrix_gflops, facts.convolution_gflops)]
    return [row.kernels, *speed, *shares, f"{row.memory_gb:.1f}"]


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
