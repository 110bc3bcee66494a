"""What a measurement ran on: the mark changes with whatever the figures depend on, and with nothing else."""

from pathlib import Path

import pytest

from benchmarks import machine
from tasks.files import write_text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "profiles/full.yaml", "models/edm.py", "benchmarks/machine.py", "docs/flagship.md"):
        write_text(tmp_path / name, "before")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "benchmarks" / "machine.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "matters"),
    [("params.yaml", True), ("profiles/full.yaml", True), ("models/edm.py", True), ("docs/flagship.md", False)],
)
def test_the_mark_changes_with_what_is_measured(name: str, matters: bool, project: Path) -> None:
    before = machine.code_mark()
    write_text(project / name, "after")
    assert (machine.code_mark() != before) == matters
