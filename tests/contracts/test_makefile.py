"""What `make clean` takes and what it leaves, and how the environment is installed: once, by one `make` at a time."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.files import write_text
from tasks.paths import WORK
from tasks.precision import CHOICE

ROOT = Path(__file__).parents[2]
GENERATED = ("data/raw/a", "data/prepared/b", "artifacts/course/c", "reports/d", "builds/demo/.work/precision.json")
STATE = (".work/course/0123456789abcdef/e.json", ".work/locks/f.lock", ".work/.g", ".work/runs/precision.json")
KEPT = ("Makefile", "dvc.lock", "mlflow.db", ".dvc/cache/h", "data/incoming/i", str(WORK / CHOICE))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_cleaning_keeps_the_precision_in_which_the_cached_results_were_computed(tmp_path: Path) -> None:
    for name in (*GENERATED, *STATE, *KEPT):
        write_text(tmp_path / name, "")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for _ in range(2):
        subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
        assert files(tmp_path) == set(KEPT)
    shutil.rmtree(tmp_path / WORK)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)


PYTHON = """#!/bin/bash
# Stands in for every python: makes environments of itself, and installs at a walk
case "$*" in
  -c*) exit 0 ;;
  *venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python3 && cp "$0" .venv/bin/python ;;
esac
mkdir busy || echo "two at once" >> log
sleep 0.3
echo "$*" >> log
rmdir busy
[ ! -e broken ]
"""
VENV = ["-m venv .venv"]
RUNTIME, DEV = ([f"-m pip install --quiet --require-hashes -r requirements/{name}.lock"] for name in ("runtime", "dev"))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone, on a machine whose python only notes what it is asked for."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copy(ROOT / "Makefile", folder)
    write_text(tmp_path / "bin" / "python3", PYTHON)
    (tmp_path / "bin" / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(folder)
    return folder


def make(*goals: str) -> list[int]:
    """Run a `make` for each goal, all at once; their exit codes."""
    started = [subprocess.Popen(["make", goal], stdout=subprocess.DEVNULL) for goal in goals]
    return [process.wait() for process in started]


def noted() -> list[str]:
    """What was asked of python since the last look."""
    log = Path("log")
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize("goals", [(".venv/.runtime", ".venv/.dev"), (".venv/.dev", ".venv/.dev", ".venv/.dev")])
def test_makes_at_once_install_everything_once_and_one_after_another(goals: tuple[str, ...], clone: Path) -> None:
    assert make(*goals) == [0] * len(goals)
    assert noted() == VENV + RUNTIME + DEV
    assert make(*goals) == [0] * len(goals)
    assert noted() == []


def test_a_newer_lock_is_installed_and_no_other(clone: Path) -> None:
    make(".venv/.dev")
    assert noted() == VENV + RUNTIME + DEV
    os.utime(clone / ".venv" / ".dev", (1, 1))
    assert make(".venv/.dev", ".venv/.dev") == [0, 0]
    assert noted() == DEV


def test_what_failed_is_tried_again(clone: Path) -> None:
    assert make(".venv/.python") == [0]
    (clone / "broken").touch()
    assert make(".venv/.dev") == [2]
    (clone / "broken").unlink()
    assert noted() == VENV + RUNTIME
    assert make(".venv/.dev") == [0]
    assert noted() == RUNTIME + DEV


def test_the_second_lock_holds_all_of_the_first() -> None:
    """Else the two would undo each other's work in the one environment."""
    runtime, dev = (pins(name) for name in ("runtime", "dev"))
    assert runtime
    assert runtime <= dev


def pins(name: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+==\S+", (ROOT / "requirements" / f"{name}.lock").read_text(), re.MULTILINE))
