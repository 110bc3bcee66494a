"""Whether the two judges agree image by image: are samples that CLIP calls clear those that the critic recognises?"""

from collections.abc import Sequence

import pandas as pd
import torch

from models.ranking import auc_within_interval
from tasks.config import Evaluate
from tasks.errors import IntegrityError
from tasks.files import read_table
from tasks.pairing import ASKED, read_judgements, right_answers
from tasks.paths import artifact
from tasks.reproducibility import torch_generator

COLUMNS = ("variant", "right", "wrong", "value", "low", "high")


def agreement_table(variants: Sequence[str], evaluate: Evaluate, seed: int) -> pd.DataFrame:
    """How well CLIP's blurry share tells samples that the critic recognises from others of the same class.

    Args:
        variants: names of the variants.
        evaluate: confidence and number of resamples.
        seed: the user's seed.

    Returns:
        One row a variant: number of samples recognised (``right``) and not (``wrong``), and with its interval the
        chance ``value`` that of two samples of one class, one of either kind, the recognised one has the smaller
        blurry share. Empty where no class has both kinds.

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
    right, labels = right_answers(judged), torch.tensor(judged["label"].tolist())
    clear = -torch.tensor(scored["blurry"].tolist(), dtype=torch.float64)
    classes = [(clear[right & (labels == label)], clear[~right & (labels == label)]) for label in torch.unique(labels)]
    groups = [(high, low) for high, low in classes if len(high) and len(low)]
    counts = int(right.sum()), int((~right).sum())
    if not groups:
        return variant, *counts, None, None, None
    generator = torch_generator(seed, "agreement interval")
    found = auc_within_interval(groups, evaluate.confidence, evaluate.bootstrap, generator)
    return variant, *counts, found.value, found.low, found.high
