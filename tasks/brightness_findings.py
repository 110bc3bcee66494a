"""What the brightness of a model's images says of where its sampling started."""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from models.intervals import Interval
from tasks.evidence import Evidence
from tasks.report_tables import name_of, pipe_table
from tasks.wording import Markdown, number_interval

HEADINGS = {"mean": "Mean", "deviation": "Deviation"}
"""Of the statistics, by their name in the table."""


def brightness_rows(evidence: Evidence, brightness: pd.DataFrame) -> Markdown:
    """Mean and deviation of the brightness, a row a variant and a last one of real test images.

    Args:
        evidence: the build's measurements.
        brightness: see :func:`tasks.brightness.brightness_table`.
    """
    judged = [*(row for row in evidence.rows() if row.measured), evidence.real()]
    found = {row["name"]: row for row in brightness.to_dict("records")}
    rows = [(name_of(row), *(number_interval(_interval(found[row.key], key)) for key in HEADINGS)) for row in judged]
    return pipe_table(("Images", *HEADINGS.values()), rows)


def _interval(row: dict[Hashable, Any], key: str) -> Interval:
    return Interval(row[key], row[f"{key}_low"], row[f"{key}_high"])
