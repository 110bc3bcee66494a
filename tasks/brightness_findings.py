"""What the brightness of a model's images says of where its sampling started."""

from typing import Any

import pandas as pd

from tasks.evidence import Evidence, interval_beside
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
    found: dict[Any, Any] = brightness.set_index("name").to_dict("index")
    rows = [(row, [interval_beside(found[row.key], key) for key in HEADINGS]) for row in judged]
    body = [(name_of(row), *map(number_interval, intervals)) for row, intervals in rows]
    return pipe_table(("Images", *HEADINGS.values()), body)
