"""Guidance: how strongly a sample is led away from what a worse model would make of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.predictions import Predict, PredictInParts, for_each
from models.sampler_spec import SamplerSpec
from models.sigma_levels import within

Conditional = Callable[[Tensor, float, Tensor, Tensor], Tensor]
"""(x (B, 1, H, W), level of all, labels (B,), keep (B,)) -> prediction (B, 1, H, W); keep 0 hides the label."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """How a prediction is guided.

    Attributes:
        scale: g, at least 0.
        guide: the worse model, which is told the class too; None for the model itself without the class.
        interval: the weakest and the strongest noise level at which guidance acts; None for all.
    """

    scale: float
    guide: Conditional | None = None
    interval: tuple[float, float] | None = None


def guidance_of(sampler: SamplerSpec, guide: Conditional | None) -> Guidance:
    """The guidance that a sampler describes.

    Args:
        sampler: scale, kind of guide, and where it acts.
        guide: the early state of the model, for a sampler that asks for one.

    Raises:
        ValueError: the sampler asks for an early state that is not given.
    """
    if sampler.guide == "early" and guide is None:
        raise ValueError("cannot be guided by an early state that is not given")
    return Guidance(sampler.guidance, guide if sampler.guide == "early" else None, sampler.guided_interval)


def guided(predict: Conditional, labels: Tensor, guidance: Guidance) -> Predict:
    """The guided prediction as one; arguments as for :func:`guided_in_parts`."""
    in_parts = guided_in_parts(predict, labels, guidance)

    def whole(x: Tensor, level: float) -> Tensor:
        prediction, nudge = in_parts(x, level)
        return prediction if nudge is None else prediction + nudge

    return whole


def guided_in_parts(predict: Conditional, labels: Tensor, guidance: Guidance) -> PredictInParts:
    """Bind labels and guidance, which leaves a function of the noisy images and their level.

        w + g * (c - w) = c + (g - 1) * (c - w)

    with c the prediction that knows the class and w a worse one: that of the same model without the class
    (classifier-free guidance, Ho and Salimans 2022), or that of a less trained model (autoguidance, Karras et al.
    2024). g = 0 is exactly w and g = 1 exactly c, and both evaluate one network once; any other g takes two
    evaluations. Outside an interval of noise levels the prediction is c (Kynkäänniemi et al. 2024).

    Since x_0 is affine in eps for a given noisy image, guiding either of them is the same. Autocast may give
    predictions in bfloat16; they are combined in the precision of x, since rounding c - w once more would count g-fold.

    Args:
        predict: the conditional network, predicting noise or clean images.
        labels: int64 class per image, shape (B,).
        guidance: see there.

    Returns:
        A function that never records gradients: c and (g - 1) * (c - w), or one prediction and None.
    """
    known = _once(predict, labels, keep=1.0)
    if guidance.scale == 1.0:
        return lambda x, level: (known(x, level), None)
    worse = _once(predict, labels, keep=0.0) if guidance.guide is None else _once(guidance.guide, labels, keep=1.0)
    if guidance.scale == 0.0:
        return lambda x, level: (worse(x, level), None)
    both = _doubled(predict, labels) if guidance.guide is None else _beside(worse, known)

    @torch.no_grad()
    def led(x: Tensor, level: float) -> tuple[Tensor, Tensor | None]:
        if guidance.interval is not None and not within(level, guidance.interval):
            return known(x, level), None
        without, knowing = (answer.to(x.dtype) for answer in both(x, level))
        return knowing, (guidance.scale - 1.0) * (knowing - without)

    return led


Pair = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""(x, level) -> the worse prediction and the one that knows the class."""


def _once(predict: Conditional, labels: Tensor, keep: float) -> Predict:
    @torch.no_grad()
    def once(x: Tensor, level: float) -> Tensor:
        return predict(x, level, labels, for_each(keep, x))

    return once


def _doubled(predict: Conditional, labels: Tensor) -> Pair:
    """Both predictions of one network, from one batch of twice the size."""

    def doubled(x: Tensor, level: float) -> tuple[Tensor, Tensor]:
        keep = torch.cat([for_each(0.0, x), for_each(1.0, x)])
        both = predict(torch.cat([x, x]), level, torch.cat([labels, labels]), keep)
        without, knowing = both.chunk(2)
        return without, knowing

    return doubled


def _beside(worse: Predict, known: Predict) -> Pair:
    def beside(x: Tensor, level: float) -> tuple[Tensor, Tensor]:
        return worse(x, level), known(x, level)

    return beside
