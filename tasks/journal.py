"""The training journal: one JSON object a line, appended as training goes on, cut back when it is resumed."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.files import disk_errors, write_text

Row = dict[str, Any]
HISTORY, NOISE_LEVELS = "history.csv", "noise_levels.csv"
"""The tables that a finished training makes of its journals."""
COLUMNS = ("step", "images", "seconds", "train_loss", "val_loss", "lr", "grad_norm")


class Journal:
    """Append-only rows of :data:`COLUMNS`, each flushed to disk before :meth:`append` returns.

    Args:
        path: the file; created with its folder if needed.
        step: rows beyond this step are dropped, since the steps they tell of will be taken again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        self.rows = [row for row in read_journal(path) if row["step"] <= step]
        write_text(path, "".join(_line(row) for row in self.rows))

    def append(self, row: Row) -> None:
        """Add one row.

        Raises:
            TryAgainError: the disk is full or failing; the line may be torn, which :func:`read_journal` overlooks.
        """
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as handle:
            handle.write(_line(row))
            handle.flush()
            os.fsync(handle.fileno())
        self.rows.append(row)

    def table(self) -> pd.DataFrame:
        """All rows as a table with the columns of ``history.csv``."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))


def read_journal(path: Path) -> list[Row]:
    """The complete rows of a journal; a torn last line, left by a kill, is ignored."""
    if not path.is_file():
        return []
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _line(row: Row) -> str:
    return json.dumps(row) + "\n"
