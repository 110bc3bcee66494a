"""How CLIP judges a variant's samples: per image, per class and over all, beside the best and the worst of them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from torch import Tensor

from models.intervals import Interval, bootstrap_mean, share_of
from models.similarity import class_embeddings, cosines, own_class_cosines, prompt_probabilities
from tasks.captions import score_prompts
from tasks.clip_encoder import ImageTextEncoder, encode_prompts
from tasks.files import write_json, write_table
from tasks.labels import CLASS_SLUGS
from tasks.params import Compute, Evaluate, Scorer
from tasks.paths import artifact, metrics_file, table_file
from tasks.samples import Samples, load_samples
from tasks.scorer_artifact import load_scorer
from tasks.seeds import torch_generator

RANKED = 12
OVERALL = ("good", "clear", "blurry", "margin", "accuracy", "probability")
PER_CLASS = ("good", "clear", "blurry", "accuracy")


@dataclass(frozen=True, slots=True)
class ImageScores:
    """What CLIP says of each image; every field has shape (N,).

    Attributes:
        good: share of the good prompt among the three prompts of the image's class, 0 to 1.
        clear: share of the clear prompt.
        blurry: share of the blurry prompt.
        margin: cosine with the clear prompt less that with the blurry one, which does not saturate.
        predicted: class whose prompts are nearest, among all ten.
        probability: zero-shot probability of the image's own class, 0 to 1.
        accuracy: 1 where ``predicted`` is the image's class, otherwise 0.
    """

    good: Tensor
    clear: Tensor
    blurry: Tensor
    margin: Tensor
    predicted: Tensor
    probability: Tensor
    accuracy: Tensor


def score_embeddings(images: Tensor, prompts: Tensor, labels: Tensor, logit_scale: float) -> ImageScores:
    """Judge embedded images by the prompts of their own class, and by those of all classes.

    Args:
        images: unit vectors, shape (N, D).
        prompts: unit vectors of the good, clear and blurry prompt of each class, shape (10, 3, D).
        labels: the class that each image should show, int64, shape (N,).
        logit_scale: the model's inverse temperature.
    """
    images, prompts = images.to(torch.float64), prompts.to(torch.float64)  # softmax is close to 0 and 1
    own = own_class_cosines(images, prompts, labels)
    good, clear, blurry = prompt_probabilities(own, logit_scale).unbind(dim=1)
    zero_shot = prompt_probabilities(cosines(images, class_embeddings(prompts)), logit_scale)
    predicted = zero_shot.argmax(dim=1)
    return ImageScores(
        good=good,
        clear=clear,
        blurry=blurry,
        margin=own[:, 1] - own[:, 2],
        predicted=predicted,
        probability=zero_shot.gather(1, labels[:, None])[:, 0],
        accuracy=(predicted == labels).to(torch.float64),
    )


def score_images(encoder: ImageTextEncoder, images: Tensor, labels: Tensor, scorer: Scorer) -> ImageScores:
    """Judge images, uint8 of shape (N, 28, 28), of the classes ``labels``, int64 of shape (N,)."""
    prompts = encode_prompts(encoder, score_prompts(scorer))
    return score_embeddings(encoder.encode_images(images), prompts, labels, encoder.logit_scale)


def summary(scores: ImageScores, labels: Tensor, evaluate: Evaluate, seed: int) -> dict[str, Any]:
    """Means over all images and over each class present, with bootstrap intervals; Wilson's for the accuracy.

    Args:
        scores: as returned by :func:`score_images`.
        labels: class of each image, shape (N,).
        evaluate: number of resamples and confidence.
        seed: the user's seed, from which the resampling is derived.

    Returns:
        ``num_images``, one interval for each of ``good``, ``clear``, ``blurry``, ``margin``, ``accuracy`` and
        ``probability``, and under ``per_class`` four of them for each class.
    """
    block: dict[str, Any] = {"num_images": len(labels)}
    for name in OVERALL:
        block[name] = _interval(getattr(scores, name), labels, evaluate, seed, name).to_json()
    block["per_class"] = {}
    for label in torch.unique(labels).tolist():
        own = {name: getattr(scores, name)[labels == label] for name in PER_CLASS}
        same = labels[labels == label]
        intervals = {name: _interval(values, same, evaluate, seed, name, label) for name, values in own.items()}
        block["per_class"][CLASS_SLUGS[label]] = {name: interval.to_json() for name, interval in intervals.items()}
    return block


def clip_block(
    encoder: ImageTextEncoder, images: Tensor, labels: Tensor, scorer: Scorer, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """CLIP's judgement of a set of images, as it stands in the metrics files.

    Args:
        encoder: the scorer, from :func:`tasks.scorer_artifact.load_scorer`.
        images: uint8, shape (N, 28, 28).
        labels: the class that each image should show, int64, shape (N,).
        scorer: the prompts.
        evaluate: number of resamples and confidence.
        seed: the user's seed.

    Returns:
        See :func:`summary`.
    """
    return summary(score_images(encoder, images, labels, scorer), labels, evaluate, seed)


def run_scoring(variant: str, scorer: Scorer, evaluate: Evaluate, compute: Compute, seed: int) -> dict[str, Any]:
    """Judge a variant's samples with CLIP; write a row an image, a row a class, and the overall figures.

    Args:
        variant: whose samples to judge.
        scorer: the prompts and the source of the model.
        evaluate: number of resamples and confidence.
        compute: device and threads.
        seed: the user's seed.

    Raises:
        MissingResourceError: the samples or the scorer are not there yet.
        IntegrityError: one of them is damaged or not what was recorded.
    """
    encoder = load_scorer(scorer, compute)
    samples = load_samples(variant)
    scores = score_images(encoder, samples.images, samples.labels, scorer)
    metrics = summary(scores, samples.labels, evaluate, seed) | _extremes(scores)
    write_table(artifact(variant, "scores.csv"), _image_table(scores, samples))
    write_table(table_file(f"clip_{variant}"), _class_table(metrics["per_class"], samples.labels))
    write_json(metrics_file("score", variant), metrics)
    return metrics


def _interval(values: Tensor, labels: Tensor, evaluate: Evaluate, seed: int, name: str, label: int = -1) -> Interval:
    if name == "accuracy":
        return share_of(values, evaluate.confidence)
    generator = torch_generator(seed, f"clip-{name}", label + 1)
    return bootstrap_mean(values, evaluate.confidence, evaluate.bootstrap, generator, labels)


def _extremes(scores: ImageScores) -> dict[str, list[int]]:
    """Indices of the images with the highest and lowest good + clear - blurry, most extreme first."""
    order = torch.argsort(scores.good + scores.clear - scores.blurry, descending=True, stable=True)
    return {"best": order[:RANKED].tolist(), "worst": order.flip(0)[:RANKED].tolist()}


def _image_table(scores: ImageScores, samples: Samples) -> pd.DataFrame:
    columns = {"index": torch.arange(len(samples.labels)), "label": samples.labels, "seed": samples.seeds}
    for name in ("good", "clear", "blurry", "margin", "predicted", "probability"):
        columns[name] = getattr(scores, name)
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})


def _class_table(per_class: dict[str, dict[str, dict[str, float]]], labels: Tensor) -> pd.DataFrame:
    rows = []
    for slug, figures in per_class.items():
        row: dict[str, Any] = {"class": slug, "n": int((labels == CLASS_SLUGS.index(slug)).sum())}
        for name, interval in figures.items():
            row |= {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
        rows.append(row)
    return pd.DataFrame(rows)


score_task = task(name="score", cache_policy=NO_CACHE)(run_scoring)
