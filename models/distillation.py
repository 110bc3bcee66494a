"""A sampler's last steps, taken at once by a model that was taught to (Luhman and Luhman 2021; Salimans and Ho 2022).

A trained denoiser D and a sampler without fresh noise make one picture of each start. A student, which goes on from the
weights whose average D is, is shown the noisy image x at level sigma that the sampler comes by, and learns to answer
with that picture: it jumps. (Steps that look back depend on earlier answers too, of which x tells most.) Where the
sampler asks before, the student learns to answer as D does, since a network that is taught one thing alone forgets the
other. It is then sampled likewise, down to sigma, where its answer is the picture.
"""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from models.diffusion import SampleStep

SOFTNESS = 0.03
"""c of the pseudo-Huber loss, in units of the root mean square error that D starts from."""


def pseudo_huber(squared: Tensor) -> Tensor:
    """sqrt(e^2 + c^2) - c (Song and Dhariwal 2023, section 3.3): quadratic near 0, and far from it no outlier rules.

    Args:
        squared: e^2, in squared units of the error that D starts from.
    """
    return (squared + SOFTNESS**2).sqrt() - SOFTNESS


def jumped(states: Iterator[SampleStep], steps: int) -> Iterator[SampleStep]:
    """The first steps of a sampler, and what the model answers after them for the picture.

    Args:
        states: of the whole sampler, whose steps look as far back as there they do.
        steps: how many are taken before the jump.
    """
    total = steps + 1
    for state in states:
        yield replace(state, total=total)
        if state.index == steps:
            yield SampleStep(total, total, 0.0, state.x0, state.x0)
            return
