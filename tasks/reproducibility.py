"""Where randomness comes from, and the settings under which arithmetic repeats bit for bit."""

import hashlib
import os
import platform
from typing import Any

import numpy as np
import torch

from tasks.errors import MissingResourceError
from tasks.params import Compute


def derived_seed(seed: int, purpose: str, *indices: int) -> int:
    """A 63-bit seed that depends on the user's seed, what it is for, and a position.

    Different purposes and positions give unrelated streams, so that a run resumed at step n draws what an unbroken
    run drew at step n.
    """
    text = "/".join([str(seed), purpose, *map(str, indices)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """A CPU generator for one purpose and position; see :func:`derived_seed`."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, *indices))


def numpy_generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """A numpy generator for one purpose and position; see :func:`derived_seed`."""
    return np.random.default_rng(derived_seed(seed, purpose, *indices))


def prepare_compute(compute: Compute) -> torch.device:
    """Fix the thread count, demand deterministic kernels, and return the device to run on.

    Raises:
        MissingResourceError: ``device: cuda`` without a usable GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(True)
    # A check of torch's own, at 3 % of the time of training; nothing here reads memory that was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise MissingResourceError("compute.device", "no GPU is usable", "a CUDA device", "set it to auto or cpu")
    return chosen_device(compute.device)


def chosen_device(setting: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` stands for here: a GPU where one is usable, unless told ``cpu``."""
    return torch.device("cuda" if setting != "cpu" and torch.cuda.is_available() else "cpu")


def autocast(compute: Compute, device: torch.device) -> torch.autocast:
    """The mixed-precision context that ``compute.precision`` asks for; disabled for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=compute.precision == "bfloat16")


def environment_record(compute: Compute, device: torch.device) -> dict[str, Any]:
    """Versions and settings on which the bits of a result depend."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": device.type,
        "device_name": name,
        "threads": compute.threads,
        "precision": compute.precision,
    }
