"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al. 2024)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MOMENTUM = 0.95
SMALLEST_NORM = 1e-7
NOT_HIDDEN = frozenset({"stem", "head", "embedding", "time_embedding", "class_embedding"})


def orthogonalise(stacks: Sequence[Tensor]) -> list[Tensor]:
    """Push every singular value towards 1 and keep the singular vectors.

    After division by the Frobenius norm, five Newton-Schulz steps X <- P X with P = a I + b G + c G^2 and G = X X^T, or
    their transpose where that makes G smaller.
    The coefficients favour speed over accuracy: singular values that are not tiny end between about 0.7 and 1.2.

    Args:
        stacks: matrices of equal shape together, each of shape (N, rows, columns).

    Returns:
        The same shapes.
    """
    units = [_unit(stack) for stack in stacks]
    products = _quintic_products([x.mT @ x if _tall(x) else x @ x.mT for x in units])
    # P is symmetric, so X P is the transpose of P X^T
    return [x @ product if _tall(x) else product @ x for x, product in zip(units, products, strict=True)]


def _tall(matrices: Tensor) -> bool:
    return matrices.shape[1] > matrices.shape[2]


def _unit(matrices: Tensor) -> Tensor:
    norms: Tensor = matrices.norm(dim=(1, 2), keepdim=True)
    return matrices / norms.clamp_min(SMALLEST_NORM)


def _quintic_products(grams: list[Tensor]) -> list[Tensor]:
    """The factor by which all steps together multiply each matrix; Gram matrices of equal size are taken together.

    A network has few sizes and many shapes, and small products of matrices cost the time of their launch.
    """
    products: list[Tensor] = list(grams)
    for size in {gram.shape[1] for gram in grams}:
        alike = [index for index, gram in enumerate(grams) if gram.shape[1] == size]
        counts = [len(grams[index]) for index in alike]
        together = _quintic_product(torch.cat([grams[index] for index in alike]))
        for index, product in zip(alike, together.split(counts), strict=True):  # type: ignore[no-untyped-call]
            products[index] = product
    return products


def _quintic_product(gram: Tensor) -> Tensor:
    # All steps multiply X from the left by polynomials of the first G, so they can be collected in one small square
    # matrix: for a kernel of 112 x 1008 this takes 2.5 times fewer multiplications than changing X itself.
    a, b, c = QUINTIC
    product = None
    for step in range(NEWTON_SCHULZ_STEPS):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        product = polynomial if product is None else polynomial @ product
        if step + 1 < NEWTON_SCHULZ_STEPS:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product


class Muon(torch.optim.Optimizer):
    """Steepest descent under the spectral norm, with Nesterov momentum, for hidden weight matrices.

    A kernel counts as the matrix of its first dimension against all others: (outputs, inputs * height * width), for a
    transposed convolution (inputs, outputs * height * width). Matrices are orthogonalised together. The
    step of an r x c matrix is scaled by sqrt(max(1, r / c)), where r are meant to be outputs: so that of a transposed
    convolution that widens its maps is shorter by the root of its outputs over its inputs than Jordan's rule has it.

    Args:
        params: parameters of two or more dimensions, or groups of them; see :func:`split_parameters`.
        lr: length of a step, in the spectral norm.
    """

    def __init__(self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every matrix that has a gradient.

        Args:
            closure: evaluates the model again, as in every torch optimiser.

        Returns:
            The closure's loss, or nothing.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._move(self._by_shape(group), group["lr"])
        return loss

    def _by_shape(self, group: dict[str, Any]) -> list[list[nn.Parameter]]:
        shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                shapes.setdefault((len(parameter), parameter[0].numel()), []).append(parameter)
        return list(shapes.values())

    def _move(self, shapes: list[list[nn.Parameter]], lr: float) -> None:
        stacks = [torch.stack([each.flatten(1) for each in self._directions(alike)]) for alike in shapes]
        for alike, updates in zip(shapes, orthogonalise(stacks), strict=True):
            scale = max(1.0, updates.shape[1] / updates.shape[2]) ** 0.5
            moves = [update.view(parameter.shape) for parameter, update in zip(alike, updates, strict=True)]
            torch._foreach_add_([*alike], moves, alpha=-lr * scale)

    def _directions(self, alike: list[nn.Parameter]) -> list[Tensor]:
        """The Nesterov gradient of each parameter, after its momentum took in the new one."""
        gradients = [parameter.grad for parameter in alike if parameter.grad is not None]
        means = [self._momentum(parameter) for parameter in alike]
        torch._foreach_lerp_(means, gradients, 1.0 - MOMENTUM)
        return list(torch._foreach_lerp(gradients, means, MOMENTUM))

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        return momentum


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Hidden weight matrices, which suit Muon, and everything else.

    Vectors, and whatever lies in a module named as a first or last layer or as an embedding, are not hidden matrices.

    Args:
        model: a network, or a module that holds one.

    Returns:
        Matrices and others, each in the model's order; together every parameter once.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        hidden = parameter.ndim >= 2 and NOT_HIDDEN.isdisjoint(name.split("."))
        (matrices if hidden else others).append(parameter)
    return matrices, others
