"""Kernels made to measure by torch's compiler, which fuses what lies between the convolutions; kept between builds.

On a GPU some are picked by their speed, so where they are made anew, others may win, which round otherwise.
"""

import os
import shutil

import torch
from torch import nn

from tasks.errors import MissingResourceError
from tasks.paths import WORK, project_root

COMPILED = WORK / "compiled"
BUILDERS = {"cpu": ("CXX", "g++"), "cuda": ("CC", "gcc", "clang")}
"""What builds the compiler's own programs on each kind of device: a variable that names it, and what is tried else."""
ON_A_GPU = {"triton.cudagraphs": True, "force_layout_optimization": True}
"""Each pass as one CUDA graph, since most of a step was spent on launching kernels, and convolutions on channels-last
maps, since a seventh of the rest was spent on turning them."""


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Have a network's next passes compiled, forward and backward, once for each shape of their inputs.

    Its parameters, their names and what it answers stay the same, but for rounding.

    Args:
        network: changed in place; copies that were made of it before are not.
        device: where it runs.

    Raises:
        MissingResourceError: there is no compiler of C or C++, which torch's compiler needs.
    """
    variable, *usual = BUILDERS[device.type]
    asked = os.environ.get(variable)
    if not any(map(shutil.which, [asked] if asked else usual)):
        expected, remedy = " or ".join(usual), "install one, or set it to false"
        raise MissingResourceError("compute.compile", f"{asked or expected} is not installed", expected, remedy)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(project_root() / COMPILED))
    network.compile(dynamic=False, options=ON_A_GPU if device.type == "cuda" else None)
