"""How far two sets of feature vectors cover each other, by balls around nearest neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

BLOCK_ROWS = 512


@dataclass(frozen=True, slots=True)
class Manifold:
    """Quality and diversity apart.

    Attributes:
        precision: share of the images inside the real manifold, 0 to 1 (Kynkäänniemi et al. 2019, equation 2).
        recall: share of the real images inside the manifold of the images, 0 to 1 (the same, equation 3).
        density: mean number of real balls an image lies in, over k; 1 for equal distributions, may exceed 1 (Naeem et
            al. 2020, equation 5).
        coverage: share of the real balls that hold an image, 0 to 1 (the same, equation 6).
        recalled: whether each real image is among those that recall counts, bool, shape (N,).
    """

    precision: float
    recall: float
    density: float
    coverage: float
    recalled: Tensor = field(repr=False, compare=False)


def compare_manifolds(real: Tensor, images: Tensor, neighbours: int) -> Manifold:
    """Precision, recall, density and coverage.

    The ball of a vector reaches to its k-th nearest neighbour in its own set, itself not counted, and is open, as in
    the code of Naeem et al. Memory grows with the number of vectors, not with its square.

    Args:
        real: more than k vectors, shape (N, D).
        images: more than k vectors, shape (M, D); the figures compare well only at M = N.
        neighbours: k.
    """
    real_radii, image_radii = neighbour_radii(real, neighbours), neighbour_radii(images, neighbours)
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = torch.zeros_like(recalled)
    balls = []
    for rows, distances in _distance_blocks(images, real):
        inside = distances < real_radii
        balls.append(inside.sum(dim=1))
        covered |= inside.any(dim=0)
        recalled |= (distances < image_radii[rows, None]).any(dim=0)
    counts = torch.cat(balls).to(torch.float64)
    return Manifold(
        precision=(counts > 0).double().mean().item(),
        recall=recalled.double().mean().item(),
        density=counts.mean().item() / neighbours,
        coverage=covered.double().mean().item(),
        recalled=recalled,
    )


def neighbour_radii(features: Tensor, neighbours: int) -> Tensor:
    """Distance of every vector to its k-th nearest neighbour in the same set, itself not counted.

    Args:
        features: more than k vectors, shape (N, D).
        neighbours: k, at least 1.

    Returns:
        Shape (N,).
    """
    blocks = _distance_blocks(features, features)
    return torch.cat([distances.kthvalue(neighbours + 1, dim=1).values for _, distances in blocks])


def _distance_blocks(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of the first set with their Euclidean distances to all of the second, exactly 0 between equal vectors."""
    for start in range(0, len(first), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        yield rows, torch.cdist(first[rows], second, compute_mode="donot_use_mm_for_euclid_dist")
