"""Every two variants compared on the images that they share: the same seeds and the same classes asked for."""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd
import torch
from torch import Tensor

from models.intervals import Interval, share_of
from models.paired import compare_paired, holm
from tasks.comparisons import difference, excludes_zero
from tasks.errors import IntegrityError
from tasks.files import read_table
from tasks.params import Evaluate
from tasks.paths import artifact, table_file
from tasks.seeds import torch_generator

ASKED = ["seed", "label"]
COLUMNS = {*ASKED, "predicted", "probability"}
Asked = Collection[frozenset[str]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants' class accuracies compared.

    Attributes:
        first: the variant that counts as positive.
        second: the variant taken away.
        images: number of images of each; of the smaller set where they are not paired.
        paired: whether both were judged on the same seeds and classes, image by image.
        difference: class accuracy of the first less that of the second, -1 to 1.
        low: lower end of its interval.
        high: upper end of its interval.
        only_first: images on which the first alone is right; 0 where they are not paired.
        only_second: images on which the second alone is right; 0 where they are not paired.
        p_value: McNemar's, of this pair alone until it is one of :class:`Pairs`; 1 where they are not paired.
    """

    first: str
    second: str
    images: int
    paired: bool
    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    p_value: float

    @property
    def gap(self) -> Interval:
        """The difference with its interval."""
        return Interval(self.difference, self.low, self.high)

    def turned(self) -> "Pair":
        """The same comparison with the other variant first."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            only_first=self.only_second,
            only_second=self.only_first,
        )

    def resolved(self, confidence: float) -> bool:
        """Whether the difference is more than chance: by the interval, and where there are pairs by the test too."""
        tested = not self.paired or self.p_value < 1.0 - confidence
        return excludes_zero(self.gap) and tested


def pair_table(variants: Sequence[str], evaluate: Evaluate, seed: int) -> pd.DataFrame:
    """Compare every two variants; one row a pair, its columns the fields of :class:`Pair`.

    Args:
        variants: names of the variants.
        evaluate: confidence and number of resamples.
        seed: the user's seed; every pair meets the same resamples.

    Raises:
        MissingResourceError: a variant has not been judged.
        IntegrityError: its judgements are damaged.
    """
    judged = {name: read_judgements(name) for name in variants}
    pairs = [_compare(names, judged, evaluate, seed) for names in itertools.combinations(variants, 2)]
    return pd.DataFrame([asdict(pair) for pair in pairs], columns=list(Pair.__dataclass_fields__))


def read_judgements(variant: str) -> pd.DataFrame:
    """The critic's answers on a variant's images; see :func:`tasks.evaluate.judgements`.

    Raises:
        MissingResourceError: the variant has not been judged.
        IntegrityError: the file lacks a column.
    """
    path = artifact(variant, "judgements.csv")
    table = read_table(path)
    if not set(table.columns) >= COLUMNS:
        wanted = f"columns {', '.join(sorted(COLUMNS))}"
        raise IntegrityError(str(path), "lacks a column", wanted, f"rerun evaluate@{variant}")
    return table


def right_answers(judged: pd.DataFrame) -> Tensor:
    """Whether the critic recognises each image as the class asked for, bool, shape (N,)."""
    return torch.tensor((judged["predicted"] == judged["label"]).tolist())


def read_pairs(asked: Asked) -> "Pairs":
    """The comparisons of a build, as the figures stage wrote them.

    Args:
        asked: see :class:`Pairs`.

    Raises:
        MissingResourceError: it has not run.
    """
    rows = read_table(table_file("paired")).to_dict("records")
    return Pairs([Pair(**{str(key): value for key, value in row.items()}) for row in rows], asked)


class Pairs:
    """All comparisons of a build, their p-values adjusted for their number (Holm 1979).

    What was asked for is adjusted for the number of that. Any other pair can only have been found by looking at all,
    as the neighbours of a ranking are, and is adjusted for the number of all.

    Args:
        pairs: one for every two variants.
        asked: names of the two variants of each comparison that was settled before anything was measured.

    Attributes:
        num_asked: number of these that have a test.
    """

    def __init__(self, pairs: Sequence[Pair], asked: Asked) -> None:
        settled = _adjusted([pair for pair in pairs if {pair.first, pair.second} in asked])
        self._pairs = {(pair.first, pair.second): pair for pair in (*_adjusted(pairs), *settled)}
        self.num_asked = sum(pair.paired for pair in settled)

    def __len__(self) -> int:
        return len(self._pairs)

    def between(self, first: str, second: str) -> Pair:
        """The comparison in which ``first`` counts as positive."""
        return self._pairs.get((first, second)) or self._pairs[second, first].turned()


def _adjusted(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with their p-values adjusted for the number of those that have one."""
    p_values = iter(holm([pair.p_value for pair in pairs if pair.paired]))
    return [replace(pair, p_value=next(p_values)) if pair.paired else pair for pair in pairs]


def _compare(names: tuple[str, str], judged: dict[str, pd.DataFrame], evaluate: Evaluate, seed: int) -> Pair:
    """One comparison, its p-value not adjusted."""
    first, second = (judged[name] for name in names)
    right = [right_answers(table) for table in (first, second)]
    apart = difference(*(share_of(answers, evaluate.confidence) for answers in right))
    if not first[ASKED].equals(second[ASKED]):
        return Pair(*names, min(len(first), len(second)), False, apart.value, apart.low, apart.high, 0, 0, 1.0)
    generator = torch_generator(seed, "paired interval")
    classes = torch.tensor(first["label"].tolist())
    found = compare_paired(right[0], right[1], evaluate.confidence, evaluate.bootstrap, generator, classes)
    gap = found.difference
    if gap.low == gap.high:  # both are right on the same images, which leaves a bootstrap without any width
        gap = apart
    counts = found.only_first, found.only_second
    return Pair(*names, len(first), True, gap.value, gap.low, gap.high, *counts, found.p_value)
