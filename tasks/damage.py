"""Images damaged in known ways: the kinds that the scorer is fitted on, and those kept for its test."""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.degrade import add_noise, box_blur, gaussian_blur, motion_blur, pixelate, salt_and_pepper
from models.pixels import from_unit, to_unit
from tasks.params import HeldOutDamage, Scorer

CLEAR, BLURRY, NOISY = 0, 1, 2
BLOCK = 500


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


def held_out_damage(
    images: Tensor, strengths: HeldOutDamage, generator: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    """All images under each kind of damage that no fitting uses, by its name in ``params.yaml``.

    Args:
        images: uint8, shape (N, 28, 28).
        strengths: how strong each kind is.
        generator: source of the pixels that salt and pepper hit.
    """
    x = to_unit(images)[:, None]
    yield "box_blur", from_unit(box_blur(x, strengths.box_blur))[:, 0]
    yield "motion_blur", from_unit(motion_blur(x, strengths.motion_blur))[:, 0]
    yield "pixelation", from_unit(pixelate(x, strengths.pixelation))[:, 0]
    yield "salt_and_pepper", from_unit(salt_and_pepper(x, strengths.salt_and_pepper, generator))[:, 0]
