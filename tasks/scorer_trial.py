"""The trial: what a CLIP scorer makes of real images that no fitting has seen, whole and damaged."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from models.intervals import Interval, bootstrap
from models.ranking import with_width
from models.similarity import class_embeddings, cosines, own_class_cosines, roc_auc
from tasks.accuracy import accuracies
from tasks.captions import score_prompts
from tasks.clip_encoder import ImageTextEncoder, encode_prompts
from tasks.damage import BLURRY, NOISY, damaged, held_out_damage
from tasks.dataset import Split
from tasks.params import Evaluate, HeldOutDamage, Scorer
from tasks.seeds import torch_generator

FITTED_ON = {"blurry": BLURRY, "noisy": NOISY}


def trial_figures(
    encoder: ImageTextEncoder, test: Split, scorer: Scorer, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Zero-shot accuracy, and how well the scores tell clear images from the same images damaged.

    The score is the margin, the cosine with the clear prompt of the image's class less that with the blurry one. It
    must fall under noise too, since samples fail in more ways than one. A fitted scorer has learnt the names of
    Gaussian blur and noise; the held-out kinds are new to it, as all kinds are to a scorer that was not fitted here.

    Args:
        encoder: the scorer.
        test: real test images, every class among them.
        scorer: prompts, and strengths of the damage of the fitting.
        evaluate: number of resamples, confidence, and strengths of the held-out damage.
        seed: the user's seed.

    Returns:
        ``zero_shot_accuracy``, ``auc_clear_blurry``, ``auc_clear_noisy`` and the accuracy ``per_class`` with intervals,
        ``num_test``, and under ``held_out`` for each held-out kind of damage its AUC and its ``strength``.
    """
    prompts = encode_prompts(encoder, score_prompts(scorer))
    clear = encoder.encode_images(test.images)
    named = accuracies(cosines(clear, class_embeddings(prompts)).argmax(dim=1), test.labels, evaluate.confidence)
    margins = _margin(clear, prompts, test.labels)
    areas: dict[str, dict[str, float]] = {}
    held_out = evaluate.held_out_damage
    for name, images in _damaged_versions(test, scorer, held_out, seed):
        pairs = torch.stack([margins, _margin(encoder.encode_images(images), prompts, test.labels)], dim=1)
        areas[name] = area_interval(pairs, evaluate, torch_generator(seed, f"scorer-{name}-interval")).to_json()
    return {
        "zero_shot_accuracy": named["accuracy"],
        "per_class": named["per_class"],
        "num_test": len(test),
        **{f"auc_clear_{name}": areas[name] for name in FITTED_ON},
        "held_out": {name: areas[name] | {"strength": value} for name, value in asdict(held_out).items()},
    }


def _damaged_versions(test: Split, scorer: Scorer, held_out: HeldOutDamage, seed: int) -> Iterator[tuple[str, Tensor]]:
    """The test images under every kind of damage, those of the fitting first."""
    for name, kind in FITTED_ON.items():
        kinds = torch.full_like(test.labels, kind)
        yield name, damaged(test.images, kinds, scorer, torch_generator(seed, f"scorer-{name}"))
    yield from held_out_damage(test.images, held_out, torch_generator(seed, "scorer-held-out"))


def _margin(images: Tensor, prompts: Tensor, labels: Tensor) -> Tensor:
    own = own_class_cosines(images, prompts, labels)
    return own[:, 1] - own[:, 2]


def area_interval(pairs: Tensor, evaluate: Evaluate, generator: torch.Generator) -> Interval:
    """The AUC of clear images above their damaged copies.

    The bootstrap resamples images, each with its copy. Where all resamples agree, as under a perfect ranking, the
    score interval takes over (:func:`models.ranking.auc_score_interval`). It is made for two independent samples, and
    knows nothing of the pairing of an image with its copy.

    Args:
        pairs: score of each image clear and damaged, shape (N, 2).
        evaluate: number of resamples and confidence.
        generator: source of the resampling.
    """
    found = bootstrap(pairs, _auc, evaluate.confidence, evaluate.bootstrap, generator)
    return with_width(found, [(len(pairs), len(pairs))], evaluate.confidence)


def _auc(pairs: Tensor) -> float:
    return roc_auc(pairs[:, 0], pairs[:, 1])
