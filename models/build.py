"""From a description to the module it describes, with weights that depend on a seed alone."""

import torch
from torch import nn

from models.course_unet import CourseUNet
from models.ddpm import Ddpm
from models.diffusion import Diffusion
from models.edm import Edm
from models.edm_unet import EdmUNet
from models.priors import images_shown
from models.spec import CourseUNetSpec, DdpmSpec, EdmSpec, NetworkSpec, ProcessSpec


def build_network(network: NetworkSpec, process: ProcessSpec) -> nn.Module:
    """The network alone, with weights from torch's global generator; see :func:`build_diffusion`.

    Args:
        network: kind and size.
        process: the noising it will undo; it says what range the levels have and what the network is shown.

    Returns:
        A module called as (x, level, labels, keep).
    """
    if isinstance(network, CourseUNetSpec):
        return CourseUNet(network, process.steps if isinstance(process, DdpmSpec) else 1)
    return EdmUNet(network, images_shown(process) if isinstance(process, EdmSpec) else 1)


def build_diffusion(network: NetworkSpec, process: ProcessSpec, seed: int) -> Diffusion:
    """The whole model on the CPU: the same seed gives the same weights, and global randomness is left as it was.

    Args:
        network: kind and size of the network.
        process: how images are noised.
        seed: 0 to 2^63 - 1.
    """
    with torch.random.fork_rng(devices=[]):
        # Seeding this generator, unlike torch.manual_seed, leaves the GPU's alone.
        torch.default_generator.manual_seed(seed)
        module = build_network(network, process)
    return Ddpm(module, process) if isinstance(process, DdpmSpec) else Edm(module, process)
