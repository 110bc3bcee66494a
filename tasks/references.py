"""What the judges say of real images, whole and damaged in known ways: the floor and ceiling of every score."""

from collections.abc import Iterator
from typing import Any

import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from torch import Tensor

from models.degrade import add_noise, gaussian_blur
from models.pixels import from_unit, to_unit
from tasks.dataset import Split, real_test_images
from tasks.distances import real_features
from tasks.evaluate import critic_block
from tasks.files import write_json
from tasks.judge import load_critic
from tasks.memorisation import memorisation_block
from tasks.params import Compute, Evaluate, Sample, Scorer
from tasks.paths import metrics_file
from tasks.score import clip_block
from tasks.scorer_artifact import load_scorer
from tasks.seeds import torch_generator

BLUR_BATCH = 500


def run_references(scorer: Scorer, sample: Sample, evaluate: Evaluate, compute: Compute, seed: int) -> dict[str, Any]:
    """Judge real test images as they are, blurred, noised, and under shuffled labels, as many as every variant makes.

    Args:
        scorer: CLIP and its prompts.
        sample: number of images a class; where the test split has fewer, that many.
        evaluate: strength of the damage, and how intervals are computed.
        compute: device and threads.
        seed: the user's seed.

    Returns:
        The number of images, for every row its CLIP block and its critic block, and how near the real test images
        come to training images.

    Raises:
        MissingResourceError: the data, the critic or the scorer is missing.
        IntegrityError: one of them is damaged or altered.
    """
    judge, encoder = load_critic(compute), load_scorer(scorer, compute)
    real = real_test_images(sample.per_class, seed)
    training = real_features(judge, seed)
    rows = {
        name: {
            "clip": clip_block(encoder, split.images, split.labels, scorer, evaluate, seed),
            "critic": critic_block(split, judge, training, evaluate, seed),
        }
        for name, split in reference_rows(real, evaluate, seed)
    }
    for end in ("fid_low", "fid_high"):  # the interval's groups hold every true class, which shuffled labels hide
        rows["shuffled"]["critic"][end] = rows["real"]["critic"][end]
    copies = memorisation_block(real.images, evaluate.confidence)
    metrics = {"num_images": len(real), "rows": rows, "memorisation": copies}
    write_json(metrics_file("references"), metrics)
    return metrics


def reference_rows(real: Split, evaluate: Evaluate, seed: int) -> Iterator[tuple[str, Split]]:
    """The real images and their damaged versions, by the names under which the report shows them.

    Args:
        real: undamaged images and their true labels.
        evaluate: strength of blur and noise.
        seed: the user's seed.
    """
    order = torch.randperm(len(real), generator=torch_generator(seed, "shuffled labels"))
    yield "real", real
    yield "blurred", Split(blurred(real.images, evaluate.reference_blur_sigma), real.labels)
    yield "noised", Split(noised(real.images, evaluate.reference_noise_sigma, seed), real.labels)
    yield "shuffled", Split(real.images, real.labels[order])


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Blur uint8 images (N, 28, 28) with a Gaussian of ``sigma`` pixels."""
    batches = [to_unit(batch)[:, None] for batch in torch.split(images, BLUR_BATCH)]
    return torch.cat([from_unit(gaussian_blur(x, torch.full((len(x),), sigma)))[:, 0] for x in batches])


def noised(images: Tensor, sigma: float, seed: int) -> Tensor:
    """Add noise to uint8 images (N, 28, 28), of ``sigma`` times the full pixel range."""
    generator = torch_generator(seed, "reference noise")
    x = to_unit(images)[:, None]
    return from_unit(add_noise(x, torch.full((len(x),), sigma), generator))[:, 0]


references_task = task(name="references", cache_policy=NO_CACHE)(run_references)
