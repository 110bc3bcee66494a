"""Classifier-free guidance: how strongly a sample is pushed towards its class (Ho and Salimans 2022)."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.samplers import Predict

Conditional = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x (B, 1, H, W), level (B,), labels (B,), keep (B,)) -> prediction (B, 1, H, W); keep 0 hides the label."""


def guided(predict: Conditional, labels: Tensor, guidance: float) -> Predict:
    """Bind labels and guidance, which leaves a function of the noisy images and their level.

        u + g * (c - u)

    with u the prediction that ignores the class and c the one that knows it. g = 0 is exactly u and g = 1 exactly c,
    and both evaluate the network once; any other g evaluates it once on a doubled batch. Since x_0 is affine in eps
    for a given noisy image, guiding either of them is the same. Autocast may give predictions in bfloat16; they are
    combined in the precision of x, since rounding c - u once more would count g-fold.

    Args:
        predict: the conditional network, predicting noise or clean images.
        labels: int64 class per image, shape (B,).
        guidance: g.

    Returns:
        A function that never records gradients.
    """

    @torch.no_grad()
    def once(x: Tensor, level: Tensor) -> Tensor:
        return predict(x, level, labels, torch.full_like(level, guidance))

    @torch.no_grad()
    def doubled(x: Tensor, level: Tensor) -> Tensor:
        keep = torch.cat([torch.zeros_like(level), torch.ones_like(level)])
        both = predict(torch.cat([x, x]), torch.cat([level, level]), torch.cat([labels, labels]), keep)
        without, within = both.to(x.dtype).chunk(2)
        return without + guidance * (within - without)

    return once if guidance in (0.0, 1.0) else doubled
