"""Precision, recall, density and coverage against sets small enough to do by hand, and a naive reference."""

import pytest
import torch
from torch import Tensor

from models.manifold import BLOCK_ROWS, Manifold, compare_manifolds, neighbour_radii


def vectors(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn((count, 5), generator=torch.Generator().manual_seed(seed)) + shift


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def naive(real: Tensor, images: Tensor, neighbours: int) -> Manifold:
    """The definitions of the papers, one pair at a time of full distance matrices."""
    between = (images[:, None] - real[None]).norm(dim=2)
    own_real = (real[:, None] - real[None]).norm(dim=2).sort(dim=1).values[:, neighbours]
    own_images = (images[:, None] - images[None]).norm(dim=2).sort(dim=1).values[:, neighbours]
    in_real = between < own_real[None, :]
    in_images = between < own_images[:, None]
    return Manifold(
        precision=in_real.any(dim=1).double().mean().item(),
        recall=in_images.any(dim=0).double().mean().item(),
        density=in_real.double().sum().item() / (neighbours * len(images)),
        coverage=in_real.any(dim=0).double().mean().item(),
        recalled=in_images.any(dim=0),
    )


def test_radii_are_distances_to_the_kth_other_vector() -> None:
    torch.testing.assert_close(neighbour_radii(column(0.0, 1.0, 3.0), 1), torch.tensor([1.0, 1.0, 2.0]))
    torch.testing.assert_close(neighbour_radii(column(0.0, 1.0, 3.0), 2), torch.tensor([3.0, 2.0, 3.0]))


def test_three_points_on_a_line_by_hand() -> None:
    # Real balls: (-1, 1), (0, 2), (1, 5). Image balls: (-9, 10), (9, 11), (10, 12).
    found = compare_manifolds(column(0.0, 1.0, 3.0), column(0.5, 10.0, 11.0), neighbours=1)
    assert (found.precision, found.recall) == pytest.approx((1 / 3, 1.0))
    assert (found.density, found.coverage) == pytest.approx((2 / 3, 2 / 3))


def test_images_packed_into_one_real_ball_have_high_density_and_low_coverage() -> None:
    # Real balls: (-1, 1), (0, 2), (8, 12), (10, 14); every image lies in the first alone.
    found = compare_manifolds(column(0.0, 1.0, 10.0, 12.0), column(-0.1, -0.2, -0.3, -0.4), neighbours=1)
    assert found == Manifold(1.0, 0.0, 1.0, 0.25, torch.zeros(4, dtype=torch.bool))


def test_identical_sets_give_1() -> None:
    found = compare_manifolds(vectors(60, 0), vectors(60, 0), neighbours=4)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density == pytest.approx(1.0)


def test_sets_far_apart_give_0() -> None:
    none = Manifold(0.0, 0.0, 0.0, 0.0, torch.zeros(60, dtype=torch.bool))
    found = compare_manifolds(vectors(60, 0), vectors(60, 1, shift=100.0), neighbours=4)
    assert found == none
    assert torch.equal(found.recalled, none.recalled)


def test_two_sets_of_one_source_have_density_near_1() -> None:
    found = compare_manifolds(vectors(600, 0), vectors(600, 1), neighbours=5)
    assert found.density == pytest.approx(1.0, abs=0.1)
    assert found.coverage == pytest.approx(1.0 - 0.5**5, abs=0.04)  # Naeem et al. 2020, equation 12, for equal sizes


@pytest.mark.parametrize("neighbours", [1, 5])
def test_blocks_agree_with_the_definitions_on_full_matrices(neighbours: int) -> None:
    real, images = vectors(BLOCK_ROWS + 90, 0), vectors(BLOCK_ROWS + 37, 1, shift=0.4)
    found, expected = compare_manifolds(real, images, neighbours), naive(real, images, neighbours)
    assert found.precision == pytest.approx(expected.precision)
    assert found.recall == pytest.approx(expected.recall)
    assert found.density == pytest.approx(expected.density)
    assert found.coverage == pytest.approx(expected.coverage)
