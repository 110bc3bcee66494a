"""What is said of images: captions over class and damage, and how far they are true."""

import torch
from torch import Tensor

from tasks.labels import NUM_CLASSES
from tasks.params import Scorer

CAPTIONS_PER_CLASS = 4
NEAR_MISS = 0.2
TRUTH = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, NEAR_MISS], [0.0, 0.0, NEAR_MISS, 1.0]])
"""How far a class's captions (good, clear, blurry, noisy) are true of its clear, blurry and noisy images.

Scores ask only for good, clear and blurry. Were noisy images told apart from blurry ones as sharply as from clear ones,
noise would count as the opposite of blur, and a noisy image as clear. So the wrong kind of damage is a near miss.
"""


def score_prompts(scorer: Scorer) -> list[list[str]]:
    """The good, the clear and the blurry prompt of every class, in the order of the labels."""
    templates = (scorer.good_prompt, scorer.clear_prompt, scorer.blurry_prompt)
    return [[template.format(word) for template in templates] for word in scorer.class_words]


def caption_bank(scorer: Scorer) -> list[str]:
    """Every caption of the fitting, class by class: good, clear, blurry, noisy."""
    prompts = zip(score_prompts(scorer), scorer.class_words, strict=True)
    return [text for three, word in prompts for text in (*three, scorer.noisy_prompt.format(word))]


def caption_weights(labels: Tensor, damage: Tensor) -> Tensor:
    """How far each caption of the bank is true of each image.

    Args:
        labels: class of each image, int64, shape (N,).
        damage: clear, blurry or noisy as numbered in :mod:`tasks.damage`, int64, shape (N,).

    Returns:
        float32 from 0 to 1, shape (N, 40), columns as in :func:`caption_bank`: :data:`TRUTH` in the image's class.
    """
    weights = torch.zeros(len(labels), NUM_CLASSES, CAPTIONS_PER_CLASS)
    weights[torch.arange(len(labels)), labels] = TRUTH[damage]
    return weights.flatten(1)
