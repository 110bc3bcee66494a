"""How good a guess closed-form priors make of a clean image: ``python -m benchmarks.priors``, in a finished build.

Every prior is fitted to the training images and asked about held-out ones. The error is told in units of that of
c_skip * x (Karras et al. 2022), so 1.00 means that nothing was gained. A network starts from these numbers.
"""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.machine import machine_line
from benchmarks.tables import markdown_table
from flows.stage import CommandLine, guarded
from models.edm import Edm
from models.pixels import pixel_statistics
from models.preconditioning import precondition
from models.spec import EdmSpec, ProcessSpec
from tasks.config import load_params
from tasks.dataset import load_split
from tasks.errors import ConfigError
from tasks.files import write_text
from tasks.seeds import torch_generator

RESULTS = Path(__file__).with_name("PRIORS.md")
SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 8.0)
SIZES = ((1, 24, 160), (1, 128, 784), (4, 24, 160), (16, 8, 160), (16, 24, 160), (16, 48, 240), (40, 48, 240))
"""Gaussians a class, directions of each, dimensions of the subspace."""
IMAGES = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """A mixture and its errors.

    Attributes:
        size: Gaussians a class, directions of each, dimensions of the subspace.
        seconds: that fitting it took.
        errors: mean squared error over that of c_skip * x at each of :data:`SIGMAS`.
    """

    size: tuple[int, int, int]
    seconds: float
    errors: list[float]


def main() -> None:
    """Measure all sizes and write the table.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: the data has not been prepared.
    """
    parser = CommandLine(prog="python -m benchmarks.priors")
    parser.parse_args()
    params = load_params()
    torch.set_num_threads(params.compute.threads)
    flagship = params.variant("flagship").process
    rows = [measured(mixture_of(size, flagship), params.seed) for size in SIZES]
    write_text(RESULTS, table(rows))
    sys.stdout.write(RESULTS.read_text())


def measured(spec: EdmSpec, seed: int) -> Row:
    """Fit a mixture to the training images and try it on validation images."""
    train, val = load_split("train"), load_split("val")
    process = Edm(torch.nn.Identity(), spec)
    pixels = pixel_statistics(train.images)
    process.fit_pixels(pixels.mean_image, pixels.std)
    start = time.monotonic()
    process.fit_prior(train.images, train.labels, torch_generator(seed, "prior"))
    seconds = time.monotonic() - start
    chosen = torch.randperm(len(val.labels), generator=torch_generator(seed, "benchmark images"))[:IMAGES]
    x0 = process.encode(val.images[chosen])
    eps = torch.randn(x0.shape, generator=torch_generator(seed, "benchmark noise"))
    errors = [relative_error(process, (x0, val.labels[chosen], eps), sigma) for sigma in SIGMAS]
    return Row((spec.components, spec.rank, spec.subspace), seconds, errors)


@torch.no_grad()
def relative_error(process: Edm, held_out: tuple[Tensor, Tensor, Tensor], sigma: float) -> float:
    """Mean squared error of the prior's guess in units of c_out^2.

    Args:
        process: with a fitted prior.
        held_out: clean images, their labels, and noise.
        sigma: noise level.
    """
    x0, labels, eps = held_out
    level = torch.full((len(x0),), sigma)
    guess = process.prior(x0 + sigma * eps, level, labels, torch.ones(len(x0)))
    unit = precondition(level[:1], process.spec.sigma_data).c_out.square()
    return float((guess.x0 - x0).square().mean() / unit)


def mixture_of(size: tuple[int, int, int], process: ProcessSpec) -> EdmSpec:
    """The process of a variant with a mixture of that size.

    Raises:
        ConfigError: it is no process with a prior.
    """
    if not isinstance(process, EdmSpec):
        raise ConfigError("variants.flagship.process.kind", "is ddpm", "edm", "change it for the benchmark")
    components, rank, subspace = size
    return replace(process, prior="mixture", components=components, rank=rank, subspace=subspace)


def table(rows: list[Row]) -> str:
    """The measurements in Markdown."""
    head = ["Gaussians a class", "directions", "subspace", "fit, s", *(f"sigma {sigma:g}" for sigma in SIGMAS)]
    lines = [[*map(str, row.size), f"{row.seconds:.1f}", *(f"{error:.3f}" for error in row.errors)] for row in rows]
    return f"""# What closed-form priors leave to a network

Mean squared error of the guess on {IMAGES} validation images, in units of that of c_skip · x (Karras et al. 2022), from
`python -m benchmarks.priors`. Sigma is in units in which the pixels have standard deviation 0.5.

{markdown_table(head, lines)}

{machine_line()}.
"""


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
