"""What keeping freed memory is worth: ``python -m benchmarks.allocator``, anywhere in the project.

The flagship's network, untrained, takes training steps and evaluations in processes of its own, with the C library as
it is and told to keep what is freed, in turn, so that a busy machine is as busy for both.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks.machine import machine_line
from benchmarks.tables import markdown_table
from models.build import build_diffusion
from models.diffusion import Diffusion
from tasks.allocator import keep_freed_memory
from tasks.config import load_params
from tasks.files import write_text
from tasks.precision import autocast, chosen_precision
from tasks.reproducibility import chosen_device

RESULTS = Path(__file__).with_name("ALLOCATOR.md")
ROUNDS, REPEATS, WARM_UP = 5, 40, 5
TRIAL = "trial"
Times = dict[str, float]


def main() -> None:
    """Run a trial where the command line says so; else run all and write the table."""
    if sys.argv[1:2] == [TRIAL]:
        sys.stdout.write(json.dumps(measured(kept=sys.argv[2] == "kept")))
        return
    pairs = [(process("default"), process("kept")) for _ in range(ROUNDS)]
    write_text(RESULTS, page(pairs))
    sys.stdout.write(RESULTS.read_text())


def process(setting: str) -> Times:
    """The times that a process of its own measures."""
    command = [sys.executable, "-m", "benchmarks.allocator", TRIAL, setting]
    times: Times = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return times


def measured(kept: bool) -> Times:
    """Milliseconds of a training step's two passes and of an evaluation of 100 images, on the CPU."""
    params = load_params()
    torch.set_num_threads(params.compute.threads)
    if kept and not keep_freed_memory():
        sys.exit("this machine's C library has no such setting")
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

    return {"training step": milliseconds(step), "evaluation of 100 images": milliseconds(evaluation)}


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


def page(pairs: list[tuple[Times, Times]]) -> str:
    """The results for people."""
    rows = []
    for name in pairs[0][0]:
        before, after = median(first[name] for first, _ in pairs), median(second[name] for _, second in pairs)
        rows.append((name, f"{before:.1f}", f"{after:.1f}", f"{median(s[name] / f[name] for f, s in pairs):.2f}"))
    head = ["", "as it is, ms", "told to keep it, ms", "ratio"]
    params = load_params()
    precision = chosen_precision(params.compute, chosen_device("cpu"))
    return f"""# Memory that is freed, kept

The flagship's network without its optimizer, in {precision}, as the C library is and as it is told to keep it,
from `python -m benchmarks.allocator`: medians of {ROUNDS} processes each, run in turn, of {REPEATS} repetitions.

{markdown_table(head, rows)}

{machine_line()}.
"""


if __name__ == "__main__":
    main()
