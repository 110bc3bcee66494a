"""Damage is what its name says, as strong as asked, and the same from the same generator."""

from dataclasses import asdict, replace

import torch

from tasks.damage import BLURRY, CLEAR, NOISY, damaged, draw_damage, held_out_damage
from tests.tasks.small_scorer import EVALUATE, SCORER, some_images


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_half_the_images_stay_clear() -> None:
    """Counts of 40,000 draws lie within four standard deviations of 1/2, 1/4 and 1/4."""
    counts = torch.bincount(draw_damage(40_000, generator()), minlength=3).to(torch.float64)
    expected = torch.tensor([20_000.0, 10_000.0, 10_000.0], dtype=torch.float64)
    torch.testing.assert_close(counts, expected, atol=400.0, rtol=0.0)


def test_clear_images_are_untouched_and_the_input_is_kept() -> None:
    images = some_images(6)
    before = images.clone()
    kinds = torch.tensor([CLEAR, BLURRY, NOISY, CLEAR, BLURRY, NOISY])
    result = damaged(images, kinds, SCORER, generator())
    changed = (result != images).flatten(1).any(dim=1)
    assert changed.tolist() == [False, True, True, False, True, True]
    assert torch.equal(images, before)
    assert result.dtype == torch.uint8


def test_blur_smooths_and_noise_roughens() -> None:
    images = some_images(20)
    steps = [
        damaged(images, torch.full((20,), kind), SCORER, generator()).float().diff(dim=2).square().mean(dim=(1, 2))
        for kind in (BLURRY, CLEAR, NOISY)
    ]
    flat = torch.full_like(images, 128)
    noise = damaged(flat, torch.full((20,), NOISY), SCORER, generator()).float().std(dim=(1, 2)) / 255
    assert (steps[0] < steps[1]).all()
    assert (noise > 0.1).all()


def test_strength_is_drawn_from_the_range_given() -> None:
    """On mid grey, noise below a sixth of the range is not clipped, so its deviation is the one that was drawn."""
    narrow = replace(SCORER, noise_sigma=(0.05, 0.15))
    flat = torch.full((400, 28, 28), 128, dtype=torch.uint8)
    noise = damaged(flat, torch.full((400,), NOISY), narrow, generator()).float().std(dim=(1, 2)) / 255
    assert 0.045 < noise.min() < 0.056
    assert 0.140 < noise.max() < 0.165
    assert abs(noise.mean().item() - 0.1) < 0.01


def test_same_generator_same_damage() -> None:
    images, kinds = some_images(8), draw_damage(8, generator(3))
    first = damaged(images, kinds, SCORER, generator(4))
    assert torch.equal(first, damaged(images, kinds, SCORER, generator(4)))
    assert not torch.equal(first, damaged(images, kinds, SCORER, generator(5)))


def test_held_out_kinds_are_those_of_the_parameters_and_change_every_image() -> None:
    images = some_images(6).roll(1, dims=2)  # so that no block of equal pixels is one of the pixelation's
    before = images.clone()
    versions = dict(held_out_damage(images, EVALUATE.held_out_damage, generator()))
    assert list(versions) == list(asdict(EVALUATE.held_out_damage))
    for found in versions.values():
        assert (found.dtype, found.shape) == (images.dtype, images.shape)
        assert (found != images).flatten(1).any(dim=1).all()
    assert torch.equal(images, before)


def test_held_out_strengths_are_those_asked_for() -> None:
    dot = torch.zeros(1, 28, 28, dtype=torch.uint8)
    dot[0, 13, 13] = 252
    strengths = replace(EVALUATE.held_out_damage, box_blur=3, motion_blur=7, pixelation=2, salt_and_pepper=1.0)
    versions = dict(held_out_damage(dot, strengths, generator()))
    assert versions["box_blur"][0, 12:15, 12:15].unique().tolist() == [252 // 9]
    assert torch.nonzero(versions["motion_blur"][0]).tolist() == [[13, column] for column in range(10, 17)]
    assert torch.nonzero(versions["pixelation"][0]).tolist() == [[12, 12], [12, 13], [13, 12], [13, 13]]
    assert versions["salt_and_pepper"].unique().tolist() == [0, 255]
