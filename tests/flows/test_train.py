"""The stage ``train`` ends the thread that sends its figures, however early it fails."""

from pathlib import Path
from typing import Any

import pytest

from flows.train import train
from tasks.errors import MissingResourceError

ROOT = Path(__file__).parents[2]


class RecordingSink:
    """Notes what becomes of it."""

    def __init__(self, variant: str) -> None:
        self.events = [f"opened for {variant}"]
        opened.append(self)

    def log(self, row: dict[str, Any], step: int) -> None:
        self.events.append(f"step {step}")

    def close(self) -> None:
        self.events.append("closed")


opened: list[RecordingSink] = []


def test_a_training_without_data_closes_its_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.live_tracking.MlflowSink", RecordingSink)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    with pytest.raises(MissingResourceError, match=r"train\.npz"):
        train("course")
    (sink,) = opened
    assert sink.events == ["opened for course", "closed"]
