"""A running average of the weights: what is sampled from, while training moves the weights themselves."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class Ema(nn.Module, Generic[Model]):
    """Exponential moving average of a model's parameters, with a warm-up.

    The n-th update (n from 0) keeps ``min(decay, (1 + n) / (10 + n))`` of the average, so that the first, random
    weights are soon forgotten. Buffers stay those of the model when it was copied: a process fits them before training,
    and no step changes them. The caller counts the updates: a count among the tensors would have to be read back from a
    GPU before each of them.

    Args:
        model: the model to follow; it is copied and left untouched.
        decay: largest share of the average that one update keeps, from 0 (no averaging) to below 1.

    Attributes:
        model: the averaged copy, in evaluation mode, without gradients.
    """

    def __init__(self, model: Model, decay: float) -> None:
        super().__init__()
        self.model: Model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: Model, n: int) -> None:
        """Take in the model's current weights.

        Args:
            model: same architecture and device as the averaged copy.
            n: updates before this one.
        """
        kept = min(self.decay, (1 + n) / (10 + n))
        averaged: list[Tensor] = list(self.model.parameters())
        current: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averaged, current, 1.0 - kept)
