"""Judge images by the critic: are they what they should be, as real ones are, and as varied?"""

from typing import Any

import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from torch import Tensor

from tasks.accuracy import accuracies
from tasks.dataset import Split
from tasks.distances import (
    RealFeatures,
    frechet_interval,
    kernel_interval,
    manifold_figures,
    manifold_of,
    real_features,
)
from tasks.files import write_json, write_table
from tasks.judge import Judge, load_critic
from tasks.memorisation import memorisation_block
from tasks.params import Compute, Evaluate
from tasks.paths import artifact, metrics_file
from tasks.samples import Samples, load_samples


def run_evaluation(variant: str, evaluate: Evaluate, compute: Compute, seed: int) -> dict[str, Any]:
    """Judge one variant's samples: write the critic's answer on each image, and the figures over all of them.

    Args:
        variant: its name.
        evaluate: neighbours and confidence.
        compute: device and threads.
        seed: the user's seed.

    Returns:
        The critic block, see :func:`critic_block`, with that of :func:`tasks.memorisation.memorisation_block`.

    Raises:
        MissingResourceError: the critic, the training images or the samples are missing.
        IntegrityError: one of them is damaged or altered.
        ConfigError: there are too few samples for ``evaluate.neighbours``.
    """
    judge, samples = load_critic(compute), load_samples(variant)
    features, logits = judge.features_and_logits(samples.images)
    block = {
        **answers_block(features, logits, samples.labels, real_features(judge, seed), evaluate, seed),
        "memorisation": memorisation_block(samples.images, evaluate.confidence),
    }
    write_table(artifact(variant, "judgements.csv"), judgements(samples, logits))
    write_json(metrics_file("evaluate", variant), block)
    return block


def judgements(samples: Samples, logits: Tensor) -> pd.DataFrame:
    """The critic's answer on each image.

    Args:
        samples: the images and what was asked for.
        logits: unnormalised log-probabilities of the classes, shape (N, 10).

    Returns:
        One row an image: its ``seed``, the ``label`` asked for, the class ``predicted``, and the ``probability`` that
        the critic gives to the class asked for, 0 to 1.
    """
    shares = torch.softmax(logits.double(), dim=1)
    columns = {
        "seed": samples.seeds,
        "label": samples.labels,
        "predicted": logits.argmax(dim=1),
        "probability": shares.gather(1, samples.labels[:, None])[:, 0],
    }
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})


def critic_block(split: Split, judge: Judge, real: RealFeatures, evaluate: Evaluate, seed: int) -> dict[str, Any]:
    """Everything the critic has to say of a set of images; see :func:`answers_block`.

    Args:
        split: images and the classes they should show, every class at least once.
        judge: the fitted critic.
        real: the training images in its eyes.
        evaluate: neighbours and confidence.
        seed: the user's seed.

    Raises:
        ConfigError: there are too few images for ``evaluate.neighbours``.
    """
    features, logits = judge.features_and_logits(split.images)
    return answers_block(features, logits, split.labels, real, evaluate, seed)


def answers_block(
    features: Tensor, logits: Tensor, labels: Tensor, real: RealFeatures, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """What the critic's answers on a set of images come to.

    The Fréchet distance is taken at the set's own number of images, on which it depends: compare it only with rows of
    as many. Its interval is a delete-one-group jackknife: how far it would move with as many other images of every
    class, the training images being given. That of KID comes from disjoint blocks, whose training images differ too:
    how far it would move with other images on both sides. Precision, recall, density and coverage compare equally many
    real images.

    Args:
        features: of the images, shape (N, D).
        logits: unnormalised log-probabilities of the classes, shape (N, 10).
        labels: the classes that the images should show, every class at least once, int64, shape (N,).
        real: the training images in the critic's eyes.
        evaluate: neighbours and confidence.
        seed: the user's seed.

    Returns:
        ``num_images``, ``accuracy``, ``fid``, ``kid`` (each with ``_low`` and ``_high``), ``precision``, ``recall``,
        ``density``, ``coverage`` and ``per_class`` accuracies.

    Raises:
        ConfigError: there are too few images for ``evaluate.neighbours``.
    """
    found = accuracies(logits.argmax(dim=1), labels, evaluate.confidence)
    return {
        "num_images": len(labels),
        "accuracy": found["accuracy"],
        "per_class": {slug: {"accuracy": interval} for slug, interval in found["per_class"].items()},
        **frechet_interval(features, labels, real, evaluate.confidence, seed).columns("fid"),
        **kernel_interval(features, real, evaluate.confidence, seed).columns("kid"),
        **manifold_figures(manifold_of(features, real, evaluate.neighbours, seed)),
    }


evaluate_task = task(name="evaluate", cache_policy=NO_CACHE)(run_evaluation)
