"""Which arithmetic the networks run in, where ``compute.precision: auto`` leaves the choice to the machine."""

import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from models.edm_unet import ResidualBlock
from tasks.errors import IntegrityError
from tasks.files import read_json, write_json
from tasks.locks import LOCKS, locked
from tasks.params import Compute
from tasks.paths import WORK, project_root

CHOICE = "precision.json"
GAINS = "flagship_block_gain"
"""Key of the measurements in the file, by machine; another trial must take another."""
CPUINFO = Path("/proc/cpuinfo")
LEAST_GAIN = 1.1
"""Bfloat16 must be this many times faster; rounding errors for less would be a bad bargain."""
ROUNDS = 12
MEASURING_S = 60.0
"""How long another process is waited for that measures just now; the slowest processors need some ten seconds."""
LONGEST_S = 2.0
"""No further round begins after this: some processors need a hundred times as long in bfloat16."""
IMAGES, CHANNELS, SIZE = 64, 64, 14
"""A trial's maps, about those of the networks."""


def chosen_precision(compute: Compute, device: torch.device) -> str:
    """``float32`` or ``bfloat16``: what the user asked for, or with ``auto`` what pays here.

    On a CPU that is measured once for the project and all its profiles on each kind of machine, so that variants that
    are compared were computed alike; of builds that begin side by side, one measures and the others wait for what it
    finds.

    Args:
        compute: threads and precision.
        device: where the networks run.

    Raises:
        TryAgainError: another process has been measuring for a minute.
    """
    if compute.precision != "auto":
        return compute.precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if _remembered_gain() >= LEAST_GAIN else "float32"


def autocast(compute: Compute, device: torch.device) -> torch.autocast:
    """The mixed-precision context that ``compute.precision`` asks for; disabled for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=chosen_precision(compute, device) == "bfloat16")


def bfloat16_gain() -> float:
    """How many times faster a block of the flagship is in bfloat16, forward and backward: the median of pairs.

    One thread's processor time is compared, which other programs on the machine change little.
    """
    with torch.random.fork_rng(devices=[]):  # the weights come from the global generator, which is left as it was
        block = ResidualBlock(CHANNELS, dropout=0.0)
    block.to(memory_format=torch.channels_last)
    x = torch.linspace(-1.0, 1.0, IMAGES * CHANNELS * SIZE**2).view(IMAGES, CHANNELS, SIZE, SIZE)
    trial = partial(_seconds_of_trial, block, x.contiguous(memory_format=torch.channels_last))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return median(_gains(trial))
    finally:
        torch.set_num_threads(threads)


def processor() -> str:
    """The processor's name, with what it has for bfloat16."""
    if not CPUINFO.is_file():
        return platform.machine()
    lines = [line.partition(":") for line in CPUINFO.read_text().splitlines()]
    facts = {
        name.strip(): value.strip() for name, _, value in lines if name.strip() in ("model name", "flags", "Features")
    }
    flags = sorted(flag for flag in " ".join(facts.values()).split() if "bf16" in flag)
    return " ".join([facts.get("model name", platform.machine()), *flags])


def _gains(trial: Callable[..., float]) -> list[float]:
    trial(bfloat16=False), trial(bfloat16=True)  # the first time the library prepares its kernels
    gains: list[float] = []
    spent = 0.0
    while len(gains) < ROUNDS and spent < LONGEST_S:
        exact, rounded = trial(bfloat16=False), trial(bfloat16=True)
        gains.append(exact / rounded)
        spent += exact + rounded
    return gains


def _remembered_gain() -> float:
    """What was measured on this kind of machine, or is now; what others measured is kept beside it."""
    machine = f"torch {torch.__version__} on {processor()}"
    file = project_root() / WORK / CHOICE
    with locked(project_root() / LOCKS / "precision.lock", MEASURING_S):
        gains = _known(file)
        if machine not in gains:
            gains[machine] = round(bfloat16_gain(), 2)
            write_json(file, {GAINS: gains})
    return gains[machine]


def _known(file: Path) -> dict[str, float]:
    """What was measured before, by machine; nothing where the file is damaged, so that it is measured anew."""
    try:
        found = read_json(file).get(GAINS, {}) if file.is_file() else {}
        return {str(machine): float(gain) for machine, gain in found.items()}
    except (IntegrityError, AttributeError, TypeError, ValueError):
        return {}


def _seconds_of_trial(block: nn.Module, x: Tensor, bfloat16: bool) -> float:
    start = time.thread_time()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        loss = block(x, x.new_zeros(len(x), 2 * x.shape[1])).float().square().mean()
    torch.autograd.backward(loss)
    return time.thread_time() - start
