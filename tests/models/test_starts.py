"""The Gaussian of a class has the mean of its images, and their covariance along the directions that it keeps."""

import torch
from torch import Tensor
from torch.testing import assert_close

from models.starts import COMPONENTS, class_moments

WIDE = 120
"""More images of a class than directions are kept."""


def images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 1, 28, 28, generator=generator)


def covariance(rows: Tensor) -> Tensor:
    centred = rows.double() - rows.double().mean(dim=0)
    return centred.T @ centred / len(rows)


def test_few_images_have_all_of_their_covariance() -> None:
    x0, labels = images(60), torch.arange(60) % 3  # 20 of a class span 19 directions
    moments = class_moments(x0, labels)
    for label in range(3):
        rows, factor = x0[labels == label].flatten(1), moments.factor[label].double()
        assert_close(moments.mean[label], rows.mean(dim=0))
        assert_close(factor.T @ factor, covariance(rows), rtol=0.0, atol=1e-5)


def test_of_many_images_the_strongest_directions_are_kept() -> None:
    x0 = images(WIDE)
    factor = class_moments(x0, torch.zeros(WIDE, dtype=torch.int64)).factor[0].double()
    kept, all_of_it = factor.square().sum(dim=1), torch.linalg.eigvalsh(covariance(x0.flatten(1)))
    assert_close(kept, all_of_it[-COMPONENTS:], rtol=1e-5, atol=0.0)
    products = factor @ factor.T
    assert_close(products - products.diag().diag(), torch.zeros(COMPONENTS, COMPONENTS).double(), rtol=0, atol=1e-5)


def test_a_class_without_images_has_no_moments() -> None:
    moments = class_moments(images(4), torch.tensor([1, 1, 2, 2]))
    assert not moments.mean[0].any()
    assert not moments.factor[0].any()
    assert moments.mean[1].any()


def test_a_draw_is_the_mean_and_a_mixture_of_the_directions_of_its_class() -> None:
    moments = class_moments(images(60), torch.arange(60) % 3)
    noise, labels = images(5), torch.tensor([0, 2, 1, 2, 0])
    drawn = moments.draw(labels, noise)
    assert drawn.shape == noise.shape
    for row, label, share in zip(drawn.flatten(1), labels, noise.flatten(1)[:, :COMPONENTS], strict=True):
        assert_close(row, moments.mean[label] + share @ moments.factor[label])
    assert_close(moments.draw(labels, torch.zeros_like(noise)).flatten(1), moments.mean[labels])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(moments.draw(labels, noise), drawn)
