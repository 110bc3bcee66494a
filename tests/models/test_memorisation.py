"""Copies are told from new images by exact distances."""

import torch
from torch import Tensor

from models.memorisation import BLOCK_ROWS, closeness


def grey(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 28, 28), generator=generator, dtype=torch.uint8)


def test_distances_by_hand() -> None:
    others = torch.tensor([[[0, 0]], [[30, 40]], [[255, 255]]], dtype=torch.uint8)
    near = closeness(torch.tensor([[[0, 0]], [[27, 36]]], dtype=torch.uint8), others)
    # Squares over two pixels: 0 and 2500; 9 + 16 = 25 and 27^2 + 36^2 = 2025.
    torch.testing.assert_close(near.first, torch.tensor([0.0, 12.5], dtype=torch.float64).sqrt())
    torch.testing.assert_close(near.second, torch.tensor([1250.0, 1012.5], dtype=torch.float64).sqrt())
    assert near.copies.tolist() == [True, True]


def test_more_images_than_one_block_agree_with_the_definition() -> None:
    images, others = grey(BLOCK_ROWS + 5, 1), grey(40, 2)
    pairs = (images.flatten(1).double()[:, None] - others.flatten(1).double()[None]).square().mean(dim=2).sqrt()
    near = closeness(images, others)
    torch.testing.assert_close(torch.stack([near.first, near.second], dim=1), pairs.sort(dim=1).values[:, :2])


def test_one_grey_level_in_one_pixel_is_seen() -> None:
    others = grey(30, 3)
    changed = others[:1].clone()
    changed[0, 5, 5] ^= 1
    near = closeness(torch.cat([others[:1], changed]), others)
    assert near.first.tolist() == [0.0, (1 / 784) ** 0.5]
    assert near.copies.all()


def test_a_duplicated_training_image_is_still_a_copy() -> None:
    others = grey(1, 4).repeat(2, 1, 1)
    assert closeness(others[:1], others).copies.all()


def test_new_images_are_not_copies() -> None:
    assert not closeness(grey(20, 5), grey(30, 6)).copies.any()
