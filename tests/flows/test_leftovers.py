"""A variant that was removed from ``params.yaml`` leaves nothing that other stages would read."""

import shutil
from pathlib import Path

import pytest

from flows.leftovers import remove_leftovers

ROOT = Path(__file__).parents[2]
KEPT = (
    "artifacts/course/model.safetensors",
    "artifacts/critic/model.safetensors",
    "artifacts/scorer/model.json",
    "reports/metrics/train/course.json",
    "reports/metrics/critic.json",
    "reports/tables/clip_course.csv",
    "reports/tables/variants.csv",
    "reports/tables/notes.csv",
    "reports/figures/reverse_old.png",
)
GONE = (
    "artifacts/old/model.safetensors",
    "artifacts/old/snapshots/step-0000000.safetensors",
    "reports/metrics/train/old.json",
    "reports/metrics/sweep/older.json",
    "reports/tables/clip_old.csv",
    "reports/tables/sweep_old.csv",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for name in KEPT + GONE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def test_outputs_of_removed_variants_are_removed_and_nothing_else(workspace: Path) -> None:
    assert remove_leftovers(workspace, ["course", "flagship"]) == ["old", "older"]
    assert [name for name in KEPT if not (workspace / name).exists()] == []
    assert [name for name in GONE if (workspace / name).exists()] == []
    assert not (workspace / "artifacts/old").exists()
    assert remove_leftovers(workspace, ["course", "flagship"]) == []


def test_what_a_user_put_beside_them_stays(workspace: Path) -> None:
    (workspace / "artifacts/old/notes.txt").write_text("mine")
    remove_leftovers(workspace, ["course"])
    assert [path.name for path in (workspace / "artifacts/old").iterdir()] == ["notes.txt"]


def test_a_link_is_removed_and_not_what_it_leads_to(workspace: Path) -> None:
    """DVC may link outputs to its cache."""
    cached = workspace / "cache"
    cached.mkdir()
    (cached / "step").write_text("x")
    (workspace / "artifacts/linked").mkdir()
    (workspace / "artifacts/linked/snapshots").symlink_to(cached)
    assert "linked" in remove_leftovers(workspace, ["course"])
    assert (cached / "step").exists()
