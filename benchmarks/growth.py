"""How cost grows with the batch, the network's width and the number of images, for the flagship.

Each training is a process of its own (``python -m benchmarks.growth BATCH WIDTH`` prints what it takes as JSON), so
that none finds memory that another has used.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch
from pydantic import TypeAdapter

from benchmarks.child import result_of_child, tell_result
from benchmarks.contenders import Setup, setup_on_cpu
from benchmarks.memory import AddedMemory
from benchmarks.outcomes import Failure
from benchmarks.own import Own
from benchmarks.speed import flops
from flows.environment import die_with_parent
from models.spec import GROUP_SIZE, EdmUNetSpec
from tasks.labels import NUM_CLASSES
from tasks.redrawn import Bench, drawn_again
from tasks.sample import balanced_requests, prepared_sampling
from tasks.variants import Variant

BATCHES = (16, 32, 64, 128)
OTHER_WIDTHS = (0.5, 2.0)
COUNTS = (500, 1000, 2000)
WARM_UP, STEPS = 3, 15


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What a step of training takes.

    Attributes:
        batch: images a step.
        width: factor by which the channels of ``params.yaml`` are multiplied, before they are made multiples of 16.
        parameters: of the network.
        step_ms: median duration of a step.
        gflops: GFLOP/s of convolutions and matrix products.
        step_memory_mb: of the steps, beyond what the process holds before the first of them.
    """

    batch: int
    width: float
    parameters: int
    step_ms: float
    gflops: float
    step_memory_mb: float


@dataclass(frozen=True, slots=True)
class ImageCost:
    """Seconds to draw so many images, and to have the critic compare them with real ones."""

    images: int
    drawing_s: float
    judging_s: float


COST: TypeAdapter[TrainingCost | Failure] = TypeAdapter(TrainingCost | Failure)


def training_costs(batch: int) -> Iterator[TrainingCost | Failure]:
    """The cost of a step at several batches, and at several widths with the batch of ``params.yaml``.

    Args:
        batch: of ``params.yaml``.

    Yields:
        One after another; for a training that fails, or is killed, that it did.
    """
    settings = [*((size, 1.0) for size in sorted({*BATCHES, batch})), *((batch, width) for width in OTHER_WIDTHS)]
    for setting in settings:
        yield _in_a_process(*setting)


def image_costs(setup: Setup) -> list[ImageCost]:
    """The cost of drawing and of judging, by the number of images, with the build's trained flagship."""
    params = setup.params
    spec = params.variant("flagship")
    sampling = prepared_sampling("flagship", spec, params.sample.batch, params.compute)
    bench = Bench.of_build(params.evaluate, params.compute, params.seed)
    costs = []
    for count in (COUNTS[0], *COUNTS):  # the first once more, since it pays for warming up
        labels, seeds = balanced_requests(count // NUM_CLASSES, params.seed)
        start = time.monotonic()
        images = drawn_again(sampling, labels, seeds)
        drawn = time.monotonic()
        bench.figures(bench.look(images, labels))
        costs.append(ImageCost(count, drawn - start, time.monotonic() - drawn))
    return costs[1:]


def widened(spec: Variant, width: float) -> Variant:
    """A variant with the channels of its network multiplied, to multiples of 16."""
    network = spec.network
    if not isinstance(network, EdmUNetSpec):
        raise TypeError("only the flagship's kind of network is widened")
    shallow, deep = (GROUP_SIZE * max(1, round(width * channels / GROUP_SIZE)) for channels in network.channels)
    return replace(spec, network=replace(network, channels=(shallow, deep)))


def measured(setup: Setup, batch: int, width: float) -> TrainingCost:
    """Train for some steps and tell what they took.

    Raises:
        RuntimeError: the training of ``params.yaml`` ends before enough steps are taken.
    """
    spec = widened(setup.params.variant("flagship"), width)
    spec = replace(spec, training=replace(spec.training, batch=batch))
    own = Own(replace(setup, params=replace(setup.params, variants={"flagship": spec})), "flagship")
    memory = AddedMemory()
    seconds = median([_step_seconds(own) for _ in range(WARM_UP + STEPS)][WARM_UP:])
    step_memory_mb = memory.peak_mb
    return TrainingCost(
        batch=own.batch,
        width=width,
        parameters=sum(weights.numel() for weights in own.network.parameters()),
        step_ms=1000.0 * seconds,
        gflops=flops(lambda: torch.autograd.backward(own.loss())) / seconds / 1e9,
        step_memory_mb=step_memory_mb,
    )


def _step_seconds(own: Own) -> float:
    start = time.perf_counter()
    if not own.step(0.0):
        raise RuntimeError("the flagship's training ends before its cost could be measured")
    return time.perf_counter() - start


def _in_a_process(batch: int, width: float) -> TrainingCost | Failure:
    return result_of_child(COST, _name(batch, width), "growth", [str(batch), str(width)])


def _name(batch: int, width: float) -> str:
    return f"training at {batch} x {width:g}"


def main() -> None:
    """Measure the training that the command line names; whatever goes wrong is a result too."""
    die_with_parent()
    batch, width = int(sys.argv[1]), float(sys.argv[2])
    tell_result(COST, _name(batch, width), lambda: measured(setup_on_cpu(), batch, width))


if __name__ == "__main__":
    main()
