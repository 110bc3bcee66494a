"""What all samplers share: the functions they are given, and what they cost.

The samplers themselves are generators of :class:`models.diffusion.SampleStep`, pure functions of a prediction, the
noise levels, a start and a source of noise: ``models/discrete_samplers.py`` on the steps of a DDPM schedule,
``models/sigma_samplers.py`` along the probability-flow ODE over sigma.
"""

from collections.abc import Callable

from torch import Tensor

from models.spec import SamplerSpec

Predict = Callable[[Tensor, Tensor], Tensor]
"""(x (B, 1, H, W), level (B,)) -> prediction (B, 1, H, W): the noise eps or the clean images x0."""

DrawNoise = Callable[[], Tensor]
"""The next standard normal noise, shape (B, 1, H, W), on the device of the images."""


def evaluations(sampler: SamplerSpec) -> int:
    """How many times the network looks at each image on its way from noise to picture.

    Heun's method looks twice a step, except in the last, which ends at sigma 0. Guidance other than 0 and 1 doubles the
    count.
    """
    looks = 2 * sampler.steps - 1 if sampler.kind == "heun" else sampler.steps
    return looks if sampler.guidance in (0.0, 1.0) else 2 * looks
