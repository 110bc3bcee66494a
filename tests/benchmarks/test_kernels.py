"""Compiled kernels and torch's draw the same images in turn; the page tells the medians and the range of a ratio."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import kernels
from benchmarks.kernels import Compared, compared, page
from tasks.train import run_training
from tests.benchmarks.test_growth import SETUP
from tests.tasks.small_variants import CPU, FLAGSHIP, SEED


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler needs a C++ compiler")
def test_both_kinds_of_kernels_draw_alike_and_the_compilers_time_is_told(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(kernels, "ROUNDS", 2)
    run_training("flagship", FLAGSHIP, CPU, SEED)
    params = replace(SETUP.params, variants={"flagship": FLAGSHIP})
    for _ in range(2):  # the second finds nothing that the first has made
        found = compared("flagship", params, 30)
        assert found.title == FLAGSHIP.title
        assert len(found.rates) == 2
        assert min(rate for pair in found.rates for rate in pair) > 0.0
        assert found.compiling_s > 1.0
        assert found.difference < 0.5
    assert not (tmp_path / "kernels").exists()


def test_the_page_tells_medians_and_how_far_the_ratio_went() -> None:
    rates = [(400.0, 600.0), (500.0, 550.0), (300.0, 480.0)]
    row = page([Compared("Flagship", "8 channels", 3, 21.4, rates, 0.113)], 1000, "bfloat16").splitlines()
    assert "| Flagship | 3 | 400 | 550 | 1.50 (1.10 to 1.60) | 21 | 0.11 |" in row
    assert "- Flagship: 8 channels." in row
