"""Kernels made to measure by torch's compiler, which fuses what lies between the convolutions; kept between builds."""

import os

from torch import nn

from tasks.paths import WORK, project_root

COMPILED = WORK / "compiled"


def compile_network(network: nn.Module) -> None:
    """Have a network's next passes compiled, forward and backward, once for each shape of their inputs.

    Its parameters, their names and what it answers stay the same, but for rounding.

    Args:
        network: changed in place; copies that were made of it before are not.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(project_root() / COMPILED))
    network.compile(dynamic=False)
