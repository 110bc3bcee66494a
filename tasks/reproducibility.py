"""The settings under which arithmetic repeats bit for bit, and a record of them."""

import os
import platform
from typing import Any

import numpy as np
import torch

from tasks.allocator import keep_freed_memory
from tasks.errors import MissingResourceError
from tasks.params import Compute


def prepare_compute(compute: Compute) -> torch.device:
    """Fix the thread count, demand deterministic kernels, and return the device to run on.

    Raises:
        MissingResourceError: ``device: cuda`` without a usable GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(compute.threads)
    keep_freed_memory()
    # As torch.use_deterministic_algorithms(True) does, which also loads torch's compiler, a second of every stage, to
    # forbid it to time kernels against each other. Where it does so, what it picked is kept; see tasks/compilation.py.
    torch.set_deterministic_debug_mode("error")
    # A check of torch's own, at 3 % of the time of training; nothing here reads memory that was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # or convolutions on a GPU would take 10 of float32's 23 bits
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise MissingResourceError("compute.device", "no GPU is usable", "a CUDA device", "set it to auto or cpu")
    return chosen_device(compute.device)


def chosen_device(setting: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` stands for here: a GPU where one is usable, unless told ``cpu``."""
    return torch.device("cuda" if setting != "cpu" and torch.cuda.is_available() else "cpu")


def environment_record(compute: Compute, device: torch.device, precision: str) -> dict[str, Any]:
    """Versions and settings on which the bits of a result depend.

    Args:
        compute: the thread count.
        device: where the result was computed.
        precision: ``float32`` or ``bfloat16``, in which it was.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": device.type,
        "device_name": name,
        "threads": compute.threads,
        "precision": precision,
    }
