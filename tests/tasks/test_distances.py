"""How much more of the real images is recalled: the same of them are held against both sets."""

import torch
from torch import Tensor
from torch.testing import assert_close

from models.manifold import Manifold, compare_manifolds
from tasks.distances import manifold_figures, recall_difference, share_difference

PER_CLASS = 30
LABELS = torch.arange(10).repeat_interleave(PER_CLASS)


def drawn(generator: torch.Generator) -> Tensor:
    return torch.randn(len(LABELS), 8, generator=generator)


def pair(generator: torch.Generator) -> tuple[Manifold, Manifold]:
    """Two sets of one noise, of which the second is narrower, held against the same real vectors."""
    real, eps = drawn(generator), drawn(generator)
    one, other = (compare_manifolds(real, scale * eps, 5) for scale in (1.0, 0.8))
    return one, other


def test_it_is_the_difference_of_the_recalls_with_the_interval_of_a_paired_share() -> None:
    one, other = pair(torch.Generator().manual_seed(0))
    found = recall_difference(one, other, 0.95, 7)
    assert_close(found.value, one.recall - other.recall)
    assert found == share_difference(one.recalled, other.recalled, LABELS, 0.95, 7)
    assert recall_difference(one, one, 0.95, 7).low == 0.0


def test_nearly_nine_in_ten_intervals_hold_the_difference_of_the_mean_pair() -> None:
    """A little fewer than their 95 %, since they know nothing of other images drawn; see the docstring."""
    generator = torch.Generator().manual_seed(0)
    found = [recall_difference(*pair(generator), 0.95, seed) for seed in range(120)]
    mean = sum(each.value for each in found) / len(found)
    held = sum(each.low <= mean <= each.high for each in found) / len(found)
    assert 0.85 <= held <= 0.98


def test_the_figures_have_the_names_of_the_papers() -> None:
    one, _ = pair(torch.Generator().manual_seed(0))
    names = ("precision", "recall", "density", "coverage")
    assert manifold_figures(one) == {name: getattr(one, name) for name in names}
