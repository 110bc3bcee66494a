"""The tables behind the report's comparisons image by image: of models, of the two judges, and of brightness."""

from collections.abc import Sequence

from tasks.agreement import agreement_table
from tasks.brightness import brightness_table
from tasks.files import write_table
from tasks.pairing import pair_table
from tasks.params import Evaluate
from tasks.paths import table_file

COMPARISONS = {"paired": pair_table, "agreement": agreement_table, "brightness": brightness_table}
"""Names of the tables that this module writes, and what fills them."""


def write_comparisons(variants: Sequence[str], evaluate: Evaluate, seed: int) -> None:
    """Write ``paired.csv``, ``agreement.csv`` and ``brightness.csv`` under ``reports/tables``.

    Args:
        variants: names of the variants.
        evaluate: confidence and number of resamples.
        seed: the user's seed.

    Raises:
        MissingResourceError: a variant has not been sampled, scored or judged.
        IntegrityError: its samples, scores or judgements are damaged.
    """
    for name, table in COMPARISONS.items():
        write_table(table_file(name), table(variants, evaluate, seed))
