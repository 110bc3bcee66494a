"""What is said of images: captions over class and damage, and images damaged to fit them."""

import torch
from torch import Tensor

from models.degrade import add_noise, gaussian_blur
from models.pixels import from_unit, to_unit
from tasks.config import Scorer
from tasks.labels import NUM_CLASSES

CLEAR, BLURRY, NOISY = 0, 1, 2
CAPTIONS_PER_CLASS = 4
BLOCK = 500
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
        damage: :data:`CLEAR`, :data:`BLURRY` or :data:`NOISY`, int64, shape (N,).

    Returns:
        float32 from 0 to 1, shape (N, 40), columns as in :func:`caption_bank`: :data:`TRUTH` in the image's class.
    """
    weights = torch.zeros(len(labels), NUM_CLASSES, CAPTIONS_PER_CLASS)
    weights[torch.arange(len(labels)), labels] = TRUTH[damage]
    return weights.flatten(1)


def draw_damage(count: int, generator: torch.Generator) -> Tensor:
    """A kind of damage for each of ``count`` images: half clear, a quarter blurry, a quarter noisy on average."""
    drawn = torch.randint(4, (count,), generator=generator)
    return (drawn - 1).clamp(min=CLEAR)


def damaged(images: Tensor, damage: Tensor, scorer: Scorer, generator: torch.Generator) -> Tensor:
    """Blur and noise the images that are to be blurry and noisy, each with a strength of its own.

    Args:
        images: uint8, shape (N, 28, 28).
        damage: :data:`CLEAR`, :data:`BLURRY` or :data:`NOISY` for each image, shape (N,).
        scorer: the ranges of the strengths.
        generator: source of the strengths and of the noise.

    Returns:
        uint8 images of the same shape; the clear ones are unchanged.
    """
    result = images.clone()
    for kind in (BLURRY, NOISY):
        which = torch.nonzero(damage == kind).flatten()
        for start in range(0, len(which), BLOCK):
            chosen = which[start : start + BLOCK]
            result[chosen] = _damage_block(images[chosen], kind, scorer, generator)
    return result


def _damage_block(images: Tensor, kind: int, scorer: Scorer, generator: torch.Generator) -> Tensor:
    x = to_unit(images)[:, None]
    low, high = scorer.blur_sigma if kind == BLURRY else scorer.noise_sigma
    sigma = low + (high - low) * torch.rand(len(x), generator=generator)
    return from_unit(gaussian_blur(x, sigma) if kind == BLURRY else add_noise(x, sigma, generator))[:, 0]
