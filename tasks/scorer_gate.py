"""The gate: what a CLIP scorer makes of real, held-out images, whole and damaged."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from models.intervals import Interval, bootstrap, bootstrap_mean
from models.similarity import class_embeddings, cosines, own_class_cosines, roc_auc
from tasks.captions import BLURRY, NOISY, damaged, score_prompts
from tasks.clip_encoder import ImageTextEncoder, encode_prompts
from tasks.config import Evaluate, Scorer
from tasks.dataset import Split
from tasks.labels import CLASS_SLUGS
from tasks.reproducibility import torch_generator

DAMAGES = {"blurry": BLURRY, "noisy": NOISY}


def gate_figures(
    encoder: ImageTextEncoder, test: Split, scorer: Scorer, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Zero-shot accuracy, and how well the scores tell clear images from the same images damaged.

    The score is the margin, the cosine with the clear prompt of the image's class less that with the blurry one. It
    must fall under noise too, since samples fail in more ways than one.

    Args:
        encoder: the scorer.
        test: real test images, every class among them.
        scorer: prompts, strengths of the damage, and the figures that must be reached.
        evaluate: number of resamples and confidence.
        seed: the user's seed.

    Returns:
        ``zero_shot_accuracy``, ``auc_clear_blurry``, ``auc_clear_noisy`` and the accuracy ``per_class`` with intervals,
        ``num_test``, and under ``gate`` what was to be reached and whether it was.
    """
    prompts = encode_prompts(encoder, score_prompts(scorer))
    clear = encoder.encode_images(test.images)
    accuracy, per_class = _accuracies(clear, prompts, test.labels, evaluate, seed)
    auc = {}
    for name, kind in DAMAGES.items():
        generator = torch_generator(seed, f"scorer-{name}")
        images = damaged(test.images, torch.full_like(test.labels, kind), scorer, generator)
        margins = [_margin(vectors, prompts, test.labels) for vectors in (clear, encoder.encode_images(images))]
        auc[name] = bootstrap(torch.stack(margins, dim=1), _auc, evaluate.confidence, evaluate.bootstrap, generator)
    told_apart = all(area.value >= scorer.gate.auc for area in auc.values())
    passed = told_apart and accuracy.value >= scorer.gate.zero_shot_accuracy
    return {
        "zero_shot_accuracy": accuracy.to_json(),
        "per_class": per_class,
        "num_test": len(test),
        "gate": {"passed": passed} | asdict(scorer.gate),
    } | {f"auc_clear_{name}": area.to_json() for name, area in auc.items()}


def _accuracies(
    images: Tensor, prompts: Tensor, labels: Tensor, evaluate: Evaluate, seed: int
) -> tuple[Interval, dict[str, dict[str, float]]]:
    """Share of the images whose class is named right, over all and by class."""
    correct = (cosines(images, class_embeddings(prompts)).argmax(dim=1) == labels).to(torch.float64)
    parts = [correct, *(correct[labels == label] for label in range(len(CLASS_SLUGS)))]
    whole, *classes = [
        bootstrap_mean(part, evaluate.confidence, evaluate.bootstrap, torch_generator(seed, "scorer-accuracy", index))
        for index, part in enumerate(parts)
    ]
    named = zip(CLASS_SLUGS, classes, strict=True)
    return whole, {slug: interval.to_json() for slug, interval in named}


def _margin(images: Tensor, prompts: Tensor, labels: Tensor) -> Tensor:
    own = own_class_cosines(images, prompts, labels)
    return own[:, 1] - own[:, 2]


def _auc(pairs: Tensor) -> float:
    return roc_auc(pairs[:, 0], pairs[:, 1])
