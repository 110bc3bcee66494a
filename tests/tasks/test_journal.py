"""The journal keeps what was written, forgets what will be done again, and survives a torn line."""

from pathlib import Path

from tasks.journal import COLUMNS, Journal, read_journal


def row(step: int) -> dict[str, float | int | None]:
    return dict.fromkeys(COLUMNS, None) | {"step": step, "train_loss": step / 3}


def test_rows_beyond_the_resumed_step_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, 0)
    for step in (10, 20, 30):
        journal.append(row(step))
    resumed = Journal(path, 20)
    resumed.append(row(30))
    assert [entry["step"] for entry in read_journal(path)] == [10, 20, 30]
    assert list(resumed.table().columns) == list(COLUMNS)
    assert resumed.table()["train_loss"].tolist() == [10 / 3, 20 / 3, 10.0]


def test_a_torn_last_line_is_ignored_and_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, 0).append(row(10))
    with path.open("a") as handle:
        handle.write('{"step": 20, "tr')
    assert [entry["step"] for entry in read_journal(path)] == [10]
    Journal(path, 10).append(row(20))
    assert [entry["step"] for entry in read_journal(path)] == [10, 20]
