"""How bright images are, and how much that varies between them: where a schedule's wrong start shows first."""

from collections.abc import Callable, Sequence

import pandas as pd
from torch import Tensor

from models.intervals import bootstrap
from tasks.dataset import load_split
from tasks.params import Evaluate
from tasks.samples import load_samples
from tasks.seeds import torch_generator

REAL = "real"
"""Name of the row of test images, which no variant may have."""
STATISTICS: dict[str, Callable[[Tensor], float]] = {
    "mean": lambda brightness: brightness.mean().item(),
    "deviation": lambda brightness: brightness.std().item(),
}


def brightness_table(variants: Sequence[str], evaluate: Evaluate, seed: int) -> pd.DataFrame:
    """The brightness of images, which is the mean of their pixels from 0, black, to 1: its mean and its deviation.

    Args:
        variants: names of the variants.
        evaluate: confidence and number of resamples.
        seed: the user's seed.

    Returns:
        One row a variant and a last one, named :data:`REAL`, of the test images: the mean over images and the standard
        deviation between them, each with the ends of its interval from a bootstrap within classes.

    Raises:
        MissingResourceError: a variant has not been sampled, or there is no data.
        IntegrityError: samples or data are damaged.
    """
    test = load_split("test")
    sets = {name: (found.images, found.labels) for name in variants for found in [load_samples(name)]}
    rows = [_row(name, *images, evaluate, seed) for name, images in {**sets, REAL: (test.images, test.labels)}.items()]
    return pd.DataFrame(rows)


def _row(name: str, images: Tensor, labels: Tensor, evaluate: Evaluate, seed: int) -> dict[str, object]:
    brightness = images.flatten(1).double().mean(dim=1) / 255.0
    row: dict[str, object] = {"name": name}
    for key, statistic in STATISTICS.items():
        generator = torch_generator(seed, "brightness interval")
        found = bootstrap(brightness, statistic, evaluate.confidence, evaluate.bootstrap, generator, labels.long())
        row |= found.columns(key)
    return row
