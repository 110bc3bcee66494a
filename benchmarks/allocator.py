"""What keeping freed memory is worth: ``python -m benchmarks.allocator``, anywhere in the project.

The flagship's network, untrained, takes training steps and evaluations in processes of its own, with the C library as
it is and told to keep what is freed, in turn, so that a busy machine is as busy for both.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from pydantic import TypeAdapter
from torch import Tensor

from benchmarks.child import print_result, result_of_child
from benchmarks.machine import machine_line
from benchmarks.memory import AddedMemory
from benchmarks.outcomes import Failure
from benchmarks.tables import markdown_table
from flows.environment import die_with_parent, prepare_environment
from flows.stage import CommandLine, guarded
from models.build import build_diffusion
from models.diffusion import Diffusion
from tasks.allocator import keep_freed_memory
from tasks.config import load_params
from tasks.errors import MissingResourceError
from tasks.files import write_text
from tasks.params import Params
from tasks.precision import autocast, chosen_precision
from tasks.reproducibility import chosen_device

RESULTS = Path(__file__).with_name("ALLOCATOR.md")
ROUNDS, REPEATS, WARM_UP = 6, 40, 5
DEFAULT, KEPT = "default", "kept"
Figures = dict[str, float]
FIGURES: TypeAdapter[Figures] = TypeAdapter(Figures)


def main() -> None:
    """Measure all and write the table, or measure one setting where the command line says which.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: a measurement came to nothing, or the C library cannot be told to keep memory.
    """
    options = command_line().parse_args()
    prepare_environment()
    params = load_params()
    torch.set_num_threads(params.compute.threads)
    if options.trial:
        die_with_parent()
        print_result(FIGURES, measured(params, options.trial == KEPT))
        return
    pairs = [pair(number, ["--debug"] if options.debug else []) for number in range(ROUNDS)]
    write_text(RESULTS, page(pairs, chosen_precision(params.compute, chosen_device("cpu"))))
    sys.stdout.write(RESULTS.read_text())


def command_line() -> CommandLine:
    """The options."""
    parser = CommandLine(prog="python -m benchmarks.allocator")
    parser.add_argument("--trial", choices=(DEFAULT, KEPT), help="measure one setting and print its figures")
    return parser


def pair(number: int, options: list[str]) -> tuple[Figures, Figures]:
    """The figures of both settings, the default's first, in processes of their own.

    Args:
        number: of the pair; every second one begins with the other setting, so that what drifts favours neither.
        options: for the processes.
    """
    order = (DEFAULT, KEPT) if number % 2 == 0 else (KEPT, DEFAULT)
    found = {setting: process(setting, options) for setting in order}
    return found[DEFAULT], found[KEPT]


def process(setting: str, options: list[str]) -> Figures:
    """What a process of its own measures.

    Raises:
        MissingResourceError: nothing, for which it said why itself.
    """
    found = result_of_child(FIGURES, setting, "allocator", ["--trial", setting, *options])
    if isinstance(found, Failure):
        raise MissingResourceError(f"--trial {setting}", found.reason, "figures", "mend what it said above")
    return found


def measured(params: Params, kept: bool) -> Figures:
    """What a training step's two passes and an evaluation of 100 images take on the CPU: time, and memory of both.

    Raises:
        MissingResourceError: the C library cannot be told to keep memory.
    """
    if kept and not keep_freed_memory():
        raise MissingResourceError("the C library", "cannot be told to keep memory", "glibc", "measure where that is")
    spec, device = params.variant("flagship"), chosen_device("cpu")
    diffusion, precision = build_diffusion(spec.network, spec.process, seed=0), autocast(params.compute, device)
    x0, labels, keep = batch(spec.training.batch)
    draw = diffusion.draw(len(x0), torch.Generator().manual_seed(0))
    many, many_labels, all_kept = batch(100)

    def step() -> None:
        with precision:
            loss = diffusion.loss(x0, labels, keep, draw).mean()
        torch.autograd.backward(loss)
        diffusion.zero_grad()

    @torch.no_grad()
    def evaluation() -> None:
        with precision:
            denoised(diffusion, many, many_labels, all_kept)

    memory = AddedMemory()
    times = {"training step, ms": milliseconds(step), "evaluation of 100 images, ms": milliseconds(evaluation)}
    return {**times, "memory at its highest, MB": memory.peak_mb}


def denoised(diffusion: Diffusion, x: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
    """The network's answer to images at noise level 1."""
    x0: Tensor = diffusion.denoise(x, torch.ones(len(x)), labels, keep)  # type: ignore[operator]
    return x0


def batch(images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Any images, their classes, and that these are shown."""
    x = torch.linspace(-1.0, 1.0, images * 784).view(images, 1, 28, 28)
    return x, torch.arange(images) % 10, torch.ones(images)


def milliseconds(work: Callable[[], None]) -> float:
    """The median over repetitions."""
    times = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000.0 * median(times[WARM_UP:])


def page(pairs: list[tuple[Figures, Figures]], precision: str) -> str:
    """The results for people."""
    rows = []
    for name in pairs[0][0]:
        before, after = median(first[name] for first, _ in pairs), median(second[name] for _, second in pairs)
        rows.append((name, f"{before:.1f}", f"{after:.1f}", f"{median(s[name] / f[name] for f, s in pairs):.2f}"))
    head = ["", "as it is", "told to keep it", "ratio"]
    return f"""# Memory that is freed, kept

The flagship's network without its optimizer, in {precision}, as the C library is and as it is told to keep it,
from `python -m benchmarks.allocator`: medians of {len(pairs)} processes each, run in turn, of {REPEATS} repetitions.
Memory is what both take beyond that of the network. A ratio is the median of those of {len(pairs)} pairs.

{markdown_table(head, rows)}

{machine_line()}.
"""


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
