"""What compiled kernels are worth where images are drawn: ``python -m benchmarks.kernels``, in a finished build.

Each model draws the same images by torch's own kernels and by those that its compiler makes for the network, in turn in
one process, so that a busy machine is as busy for both. The compiler begins with nothing for each, so its time counts.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch._inductor.utils import fresh_cache

from benchmarks.drawers import command_line, enter
from benchmarks.drawing import drawn_in_time
from benchmarks.limits import require_balanced
from benchmarks.machine import code_mark, machine_line
from benchmarks.tables import markdown_table
from flows.stage import guarded, single_builder
from models.evaluations import evaluations
from tasks.config import load_params
from tasks.files import write_text
from tasks.labels import NUM_CLASSES
from tasks.params import Params
from tasks.precision import chosen_precision
from tasks.reproducibility import chosen_device
from tasks.sample import Array, Sampling, balanced_requests, compile_sampling, prepared_sampling, sample_images
from tasks.side_by_side import in_few_words

RESULTS = Path(__file__).with_name("KERNELS.md")
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Compared:
    """What one model's kernels do.

    Attributes:
        title: of the model.
        settings: in a few words how it is made, trained and sampled.
        evaluations: of the network for an image.
        compiling_s: what the first batch took by compiled kernels, beyond what a batch takes by torch's.
        rates: images a second by torch's kernels and by compiled ones, a pair for each round.
        difference: mean absolute difference of the pixels of both, in levels of grey.
    """

    title: str
    settings: str
    evaluations: int
    compiling_s: float
    rates: list[tuple[float, float]]
    difference: float


def main() -> None:
    """Measure the models and write the page.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: there is no such build, a model has not been trained in it, or there is no C++ compiler.
        IntegrityError: a model's weights were altered.
        TryAgainError: the build is being made, or measured.
    """
    options = command_line("kernels", 1000).parse_args()
    require_balanced(options.images, NUM_CLASSES)
    enter(options.profile)
    with single_builder(options.profile):
        params = load_params()
        found = [compared(name, params, options.images) for name in options.variants]
    write_text(RESULTS, page(found, options.images, chosen_precision(params.compute, chosen_device("cpu"))))
    sys.stdout.write(RESULTS.read_text())


def compared(variant: str, params: Params, images: int) -> Compared:
    """How fast a model draws so many images by either kind of kernels on the CPU."""
    spec, compute = params.variant(variant), replace(params.compute, device="cpu")
    requests = balanced_requests(images // NUM_CLASSES, params.seed)
    torchs, compiled = (prepared_sampling(variant, spec, params.sample.batch, compute) for _ in range(2))
    torch.compiler.reset()  # what was made for a model before, else this one, where it is alike, takes over
    with fresh_cache():
        compile_sampling(compiled)
        first = [_seconds(sampling, requests) for sampling in (compiled, torchs)]
        rounds = [[drawn_in_time(sampling, *requests) for sampling in (torchs, compiled)] for _ in range(ROUNDS)]
    rates = [(slow, fast) for (_, slow), (_, fast) in rounds]
    (plain, _), (made, _) = rounds[0]
    difference = float(np.abs(plain.astype(np.int16) - made).mean())
    return Compared(spec.title, in_few_words(spec), evaluations(spec.sampling), first[0] - first[1], rates, difference)


def page(found: Sequence[Compared], images: int, precision: str) -> str:
    """The results for people."""
    head = ["", "evaluations", "torch's, images/s", "compiled, images/s", "ratio", "compiling, s", "grey levels apart"]
    made = "\n".join(f"- {row.title}: {row.settings}." for row in found)
    return f"""# Drawing by compiled kernels

{images:,} images a round by torch's own kernels and by those of `compute.compile`, in {precision}, from
`python -m benchmarks.kernels`: medians of {ROUNDS} rounds in turn; in brackets the least and the greatest ratio of one
round. Compiling is what the first batch took more, into an empty folder. Pixels have 256 levels of grey.

{markdown_table(head, map(_row, found))}

{made}

{machine_line()}, code {code_mark()}.
"""


def _seconds(sampling: Sampling, requests: tuple[Array, Array]) -> float:
    """What a model's first batch takes."""
    start = time.monotonic()
    sample_images(sampling, *(column[: sampling.batch] for column in requests))
    return time.monotonic() - start


def _row(row: Compared) -> list[str]:
    ratios = [fast / slow for slow, fast in row.rates]
    slow, fast = (median(column) for column in zip(*row.rates, strict=True))
    ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    rates = f"{slow:.0f}", f"{fast:.0f}"
    return [row.title, f"{row.evaluations}", *rates, ratio, f"{row.compiling_s:.0f}", f"{row.difference:.2f}"]


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
