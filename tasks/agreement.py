"""Whether the two judges agree image by image: are samples that CLIP calls clear those that the critic recognises?"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from models.ranking import Groups, auc_within_interval
from tasks.errors import IntegrityError
from tasks.files import read_table
from tasks.pairing import ASKED, read_judgements, right_answers
from tasks.params import Evaluate
from tasks.paths import artifact
from tasks.seeds import torch_generator

COLUMNS = ("variant", "right", "wrong", "value", "low", "high")
FEWEST_IN_CLASS = 2
"""Samples of either kind that a class must have to count: a single one would count as known without error."""
FEWEST = 10
"""Samples of either kind, over the classes that count, below which nothing is said."""


def agreement_table(variants: Sequence[str], evaluate: Evaluate, seed: int) -> pd.DataFrame:
    """How well CLIP's blurry share tells samples that the critic recognises from others of the same class.

    Args:
        variants: names of the variants.
        evaluate: confidence and number of resamples.
        seed: the user's seed.

    Returns:
        One row a variant: number of samples recognised (``right``) and not (``wrong``) in the classes with at least
        :data:`FEWEST_IN_CLASS` of either, and with its interval the chance ``value`` that of two samples of one such
        class, one of either kind, the recognised one has the smaller blurry share. ``value`` and its interval are
        empty where ``right`` or ``wrong`` is below :data:`FEWEST`.

    Raises:
        MissingResourceError: a variant has not been scored or judged.
        IntegrityError: scores and judgements are of different samples.
    """
    rows = [_row(name, evaluate, seed) for name in variants]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(variant: str, evaluate: Evaluate, seed: int) -> tuple[object, ...]:
    judged, path = read_judgements(variant), artifact(variant, "scores.csv")
    scored = read_table(path)
    if not scored[ASKED].equals(judged[ASKED]):
        raise IntegrityError(str(path), "is of other samples", "those of judgements.csv", f"rerun score@{variant}")
    clear = -torch.tensor(scored["blurry"].tolist(), dtype=torch.float64)
    groups = _classes(clear, right_answers(judged), torch.tensor(judged["label"].tolist()))
    counts = sum(len(high) for high, _ in groups), sum(len(low) for _, low in groups)
    if min(counts) < FEWEST:
        return variant, *counts, None, None, None
    generator = torch_generator(seed, "agreement interval")
    found = auc_within_interval(groups, evaluate.confidence, evaluate.bootstrap, generator)
    return variant, *counts, found.value, found.low, found.high


def _classes(clear: Tensor, right: Tensor, labels: Tensor) -> Groups:
    """How clear the recognised samples and the others are, by class, for the classes with enough of either."""
    classes = [(clear[right & (labels == label)], clear[~right & (labels == label)]) for label in torch.unique(labels)]
    return [(high, low) for high, low in classes if min(len(high), len(low)) >= FEWEST_IN_CLASS]
