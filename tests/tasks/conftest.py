"""A small prepared data set of drawn garments, made once, and a workspace folder that holds it."""

import shutil
from pathlib import Path

import pytest

from tasks.fetch import run_fetch
from tasks.params import Data, DrawnCounts, Prepare
from tasks.prepare import run_preparation
from tests.tasks.small_variants import SEED


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data/`` as the fetch and prepare stages leave it: 30 training and 20 test garments a class."""
    folder = tmp_path_factory.mktemp("drawn")
    counts = DrawnCounts(train=40, test=20)
    data = Data(source="drawn", folders=(), mirrors=(), timeout_s=1.0, attempts=1, drawn_per_class=counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_fetch(data, SEED)
        run_preparation(Prepare(validation_per_class=10), SEED)
    return folder


@pytest.fixture
def workspace(drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own working folder with the drawn data in it."""
    shutil.copytree(drawn_data / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path
