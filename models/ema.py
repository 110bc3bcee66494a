"""A running average of the weights: what is sampled from, while training moves the weights themselves."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class Ema(nn.Module, Generic[Model]):
    """Moving average of a model's parameters whose length grows with the training (Karras et al. 2024, section 3.1).

    The n-th update (n from 1) keeps (1 - 1/n)^(gamma + 1) of the average, so that the weights after step n count about
    in proportion to n^gamma: the untrained ones not at all, and a short training is averaged like a long one. With the
    mean lag that is asked for, gamma = 1 / lag - 2; the paper asks for a standard deviation. Buffers stay those of the
    model when it was copied: a process fits them before training, and no step changes them. The caller counts the
    updates: a count among the tensors would have to be read back from a GPU before each of them.

    Args:
        model: the model to follow; it is copied and left untouched.
        lag: how far the average lies back, on average over its parts, as a share of the training so far; from 0 (the
            last weights alone) to 0.5 (the mean of all).

    Attributes:
        model: the averaged copy, in evaluation mode, without gradients.
    """

    def __init__(self, model: Model, lag: float) -> None:
        super().__init__()
        self.model: Model = copy.deepcopy(model).requires_grad_(False).eval()
        self.lag = lag

    @torch.no_grad()
    def update(self, model: Model, n: int) -> None:
        """Take in the model's current weights.

        Args:
            model: same architecture and device as the averaged copy.
            n: updates with this one, from 1.
        """
        kept = (1.0 - 1.0 / n) ** (1.0 / self.lag - 1.0) if self.lag > 0.0 else 0.0
        averaged: list[Tensor] = list(self.model.parameters())
        current: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averaged, current, 1.0 - kept)
