"""What all samplers share: the functions they are given, and the levels they ask these at.

The samplers themselves are generators of :class:`models.diffusion.SampleStep`, pure functions of a prediction, the
noise levels, a start and a source of noise: ``models/discrete_samplers.py`` on the steps of a DDPM schedule,
``models/heun.py`` and ``models/multistep_samplers.py`` along the probability-flow ODE over sigma. What they cost is in
``models/evaluations.py``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor, float], Tensor]
"""(x (B, 1, H, W), level of all) -> prediction (B, 1, H, W): the noise eps or the clean images x0."""

PredictInParts = Callable[[Tensor, float], tuple[Tensor, Tensor | None]]
"""The same, with what guidance adds to the prediction on its own; None where guidance does not act."""

DrawNoise = Callable[[], Tensor]
"""The next standard normal noise, shape (B, 1, H, W), on the device of the images."""


def for_each(value: float, x: Tensor) -> Tensor:
    """The same number for every image, as networks are told levels and masks, shape (B,)."""
    return torch.full((len(x),), value, dtype=x.dtype, device=x.device)
