"""Captions say what is true of an image, and damage is what its caption says."""

from dataclasses import replace

import torch

from tasks.captions import (
    BLURRY,
    CLEAR,
    NOISY,
    caption_bank,
    caption_weights,
    damaged,
    draw_damage,
    score_prompts,
)
from tests.tasks.small_scorer import SCORER, some_images


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_prompts_are_the_templates_with_the_class_word() -> None:
    prompts = score_prompts(SCORER)
    assert len(prompts) == 10
    assert prompts[9] == [
        "a good example of a ankle boot",
        "a clear picture of a ankle boot",
        "a blurry picture of a ankle boot",
    ]


def test_bank_holds_four_different_captions_a_class() -> None:
    bank = caption_bank(SCORER)
    assert len(set(bank)) == len(bank) == 40
    assert bank[4:8] == [*score_prompts(SCORER)[1], "a noisy picture of a trouser"]


def test_true_captions_are_of_the_images_class_and_damage() -> None:
    bank = caption_bank(SCORER)
    weights = caption_weights(torch.tensor([0, 8, 3]), torch.tensor([CLEAR, BLURRY, NOISY]))
    best = [{bank[i] for i in torch.nonzero(row == 1.0).flatten()} for row in weights]
    assert best == [
        {"a good example of a t-shirt", "a clear picture of a t-shirt"},
        {"a blurry picture of a bag"},
        {"a noisy picture of a dress"},
    ]


def test_near_miss_is_the_other_damage_of_the_same_class_alone() -> None:
    bank = caption_bank(SCORER)
    clear, blurry = caption_weights(torch.tensor([0, 8]), torch.tensor([CLEAR, BLURRY]))
    assert set(clear.tolist()) == {0.0, 1.0}
    near = torch.nonzero((blurry > 0) & (blurry < 1)).flatten()
    assert [bank[i] for i in near] == ["a noisy picture of a bag"]


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
