"""Captions say what is true of an image."""

import torch

from tasks.captions import caption_bank, caption_weights, score_prompts
from tasks.damage import BLURRY, CLEAR, NOISY
from tests.tasks.small_scorer import SCORER


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
