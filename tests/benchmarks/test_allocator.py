"""What keeping memory is worth is told of pairs of processes; the command lines of these benchmarks are read."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from benchmarks import allocator, gpu, kernels, priors
from benchmarks.allocator import FIGURES, Figures, measured, page, pair
from tasks.config import PARAMS, load_params
from tasks.errors import ConfigError, MissingResourceError

ROOT = Path(__file__).parents[2]
SETTINGS = ("default", "kept")


@pytest.mark.parametrize("module", [allocator, gpu, kernels, priors], ids=lambda module: module.__name__)
def test_a_misspelt_option_is_refused_before_anything_is_done(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder, where all else would be said to be missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [module.__name__, "--debgu"])
    with pytest.raises(ConfigError, match=rf"unrecognized arguments: --debgu; expected python -m {module.__name__} "):
        module.main()


def told(setting: str, code: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have each process tell its number as its time, and those of one setting end with a code; the list of all."""
    asked: list[str] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert command[1:4] == ["-m", "benchmarks.allocator", "--trial"]
        asked.append(" ".join(command[4:]))
        failed = code and command[4] == setting
        found = {"step, ms": float(len(asked)), "kept": float(command[4] == "kept")}
        line = "" if failed else FIGURES.dump_json(found).decode()
        return SimpleNamespace(stdout=f"x\n{line}\n", returncode=code)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_both_settings_come_first_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every process takes longer than the one before, neither setting gains by it."""
    asked = told("", 0, monkeypatch)
    pairs = [pair(number, ["--debug"]) for number in range(allocator.ROUNDS)]
    assert sorted(asked[::2]) == sorted(asked[1::2])
    assert set(asked) == {f"{setting} --debug" for setting in SETTINGS}
    assert {(default["kept"], kept["kept"]) for default, kept in pairs} == {(0.0, 1.0)}
    assert sum(default["step, ms"] for default, _ in pairs) == sum(kept["step, ms"] for _, kept in pairs)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_process_that_fails_ends_the_benchmark_in_a_line(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told(setting, -9, monkeypatch)
    line = f"--trial {setting}: its process ended with code -9; expected figures; do mend what it said above"
    with pytest.raises(MissingResourceError, match=line):
        pair(0, [])


def test_time_and_memory_of_the_flagship_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / PARAMS, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(allocator, "REPEATS", 1)
    monkeypatch.setattr(allocator, "WARM_UP", 0)
    found = measured(load_params(), kept=False)
    assert [name.rpartition(", ")[2] for name in found] == ["ms", "ms", "MB"]
    assert min(found.values()) > 0.0


def test_without_such_a_c_library_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: False)
    with pytest.raises(MissingResourceError, match="the C library: cannot be told to keep memory; expected glibc"):
        measured(load_params(ROOT / PARAMS), kept=True)


def test_ratios_are_taken_pair_by_pair() -> None:
    def figures(step: float) -> Figures:
        return {"step, ms": step}

    pairs = [(figures(100.0), figures(60.0)), (figures(10.0), figures(9.0)), (figures(40.0), figures(20.0))]
    text = page(pairs, "bfloat16")
    assert "| step, ms | 40.0 | 20.0 | 0.60 |" in text
    assert "medians of 3 processes each" in text
    assert max(map(len, text.splitlines())) <= 120
