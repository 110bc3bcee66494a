"""A variant that was removed from ``params.yaml`` leaves nothing that other stages would read, and loses nothing."""

import shutil
import subprocess
import sys
from collections.abc import Callable
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
OLD = (
    "artifacts/old/model.safetensors",
    "artifacts/old/snapshots/step-0000000.safetensors",
    "reports/metrics/train/old.json",
    "reports/tables/clip_old.csv",
    "reports/tables/sweep_old.csv",
)
OLDER = ("reports/metrics/sweep/older.json",)
STAGES = """stages:
  train:
    matrix: {variant: "${variants}"}
    cmd: >-
      mkdir -p artifacts/${item.variant}/snapshots reports/metrics/train && cd artifacts/${item.variant}
      && echo weights of ${item.variant} > model && echo 1 > snapshots/one && echo 2 > snapshots/two
      && echo loss of ${item.variant} > ../../reports/metrics/train/${item.variant}.json
    params: ["variants.${item.variant}"]
    outs: ["artifacts/${item.variant}/model", "artifacts/${item.variant}/snapshots"]
    metrics: ["reports/metrics/train/${item.variant}.json"]
"""
WITHOUT_OLD = "variants: {course: 1}\n"
PARAMS = "variants: {course: 1, old: 2}\n"
CONFIG = """[core]
    no_scm = true
    analytics = false
    site_cache_dir = .dvc/site
[cache]
    dir = ../store
"""
FILES = {"dvc.yaml": STAGES, "params.yaml": PARAMS, ".dvc/config": CONFIG, ".dvcignore": "*.tmp\n"}
MODEL, SNAPSHOTS, METRICS = "artifacts/old/model", "artifacts/old/snapshots", "reports/metrics/train/old.json"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The outputs of variants that DVC knows nothing of."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for name in KEPT + OLD + OLDER:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"content of {name}")
    return tmp_path


def files(folder: Path | None) -> set[str]:
    assert folder
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_outputs_of_removed_variants_are_gone_and_nothing_else(workspace: Path) -> None:
    assert list(remove_leftovers(workspace, ["course", "flagship"])) == ["old", "older"]
    assert [name for name in KEPT if not (workspace / name).exists()] == []
    assert [name for name in OLD + OLDER if (workspace / name).exists()] == []
    assert not (workspace / "artifacts/old").exists()
    assert remove_leftovers(workspace, ["course", "flagship"]) == {}


def test_what_dvc_knows_nothing_of_lies_elsewhere_each_time(workspace: Path) -> None:
    first = remove_leftovers(workspace, ["course"])
    assert (files(first["old"]), files(first["older"])) == (set(OLD), set(OLDER))
    assert first["old"].parent == workspace / ".work" / "leftovers"
    assert first["old"].name.startswith("old-2")
    (workspace / "artifacts/old").mkdir()
    (workspace / OLD[0]).write_text("another")
    second = remove_leftovers(workspace, ["course"])
    assert (second["old"] / OLD[0]).read_text() == "another"
    assert (first["old"] / OLD[0]).read_text() == f"content of {OLD[0]}"


def test_what_a_user_put_beside_them_stays(workspace: Path) -> None:
    (workspace / "artifacts/old/notes.txt").write_text("mine")
    remove_leftovers(workspace, ["course"])
    assert [path.name for path in (workspace / "artifacts/old").iterdir()] == ["notes.txt"]


def test_a_link_that_dvc_did_not_make_is_moved_and_not_what_it_leads_to(workspace: Path) -> None:
    elsewhere = workspace / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "step").write_text("x")
    (workspace / "artifacts/linked").mkdir()
    (workspace / "artifacts/linked/snapshots").symlink_to(elsewhere)
    aside = remove_leftovers(workspace, ["course"])["linked"]
    assert aside
    assert (aside / "artifacts/linked/snapshots").readlink() == elsewhere
    assert (elsewhere / "step").exists()


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def built_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants that DVC has built, with a cache that is not where it usually lies."""
    folder = tmp_path_factory.mktemp("built")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DVC_ROOT", "DVC_STAGE"):
            patch.delenv(name, raising=False)
        dvc(folder, "repro", "--quiet")
    return folder


@pytest.fixture
def built(built_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(built_folder, tmp_path / "moved", symlinks=True)
    return tmp_path / "moved"


def test_what_the_cache_holds_is_removed_and_comes_back_with_the_variant(built: Path) -> None:
    (built / SNAPSHOTS / "half.tmp").write_text("ignored by DVC")
    assert remove_leftovers(built, ["course"]) == {"old": None}
    assert not (built / "artifacts/old").exists()
    assert not (built / METRICS).exists()
    assert not (built / ".work").exists()
    (built / "params.yaml").write_text(WITHOUT_OLD)
    dvc(built, "repro", "--quiet")
    (built / "params.yaml").write_text(PARAMS)
    assert "Stage 'train@old' is cached - skipping run" in dvc(built, "repro")
    assert (built / MODEL).read_text() == "weights of old\n"


def made_by_hand(built: Path) -> None:
    (built / MODEL).unlink()
    (built / MODEL).write_text("other weights")


def added_by_hand(built: Path) -> None:
    (built / SNAPSHOTS / "three").write_text("3")


def made_as_those_of_another(built: Path) -> None:
    """The cache has the content, but nothing says that it belongs there."""
    (built / MODEL).unlink()
    shutil.copy(built / "artifacts/course/model", built / MODEL)


def cached(built: Path, path: str) -> Path:
    """The cache's object of an output, or of a file in one."""
    from tasks.locked_build import dvc_md5

    md5 = dvc_md5(built / path)
    return built / "store" / "files" / "md5" / md5[:2] / md5[2:]


def lost_from_the_cache(path: str) -> Callable[[Path], None]:
    return lambda built: cached(built, path).unlink()


def damaged_list(built: Path) -> None:
    cached(built, SNAPSHOTS).chmod(0o644)
    cached(built, SNAPSHOTS).write_text("[{")


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (made_by_hand, {MODEL}),
        (made_as_those_of_another, {MODEL}),
        (added_by_hand, {f"{SNAPSHOTS}/{name}" for name in ("one", "two", "three")}),
        (lost_from_the_cache(METRICS), {METRICS}),
        (lost_from_the_cache(SNAPSHOTS), {f"{SNAPSHOTS}/one", f"{SNAPSHOTS}/two"}),
        (lost_from_the_cache(f"{SNAPSHOTS}/two"), {f"{SNAPSHOTS}/one", f"{SNAPSHOTS}/two"}),
        (damaged_list, {f"{SNAPSHOTS}/one", f"{SNAPSHOTS}/two"}),
    ],
)
def test_what_the_cache_does_not_hold_is_moved_and_the_rest_removed(
    change: Callable[[Path], None], moved: set[str], built: Path
) -> None:
    change(built)
    before = {name: (built / name).read_text() for name in moved}
    aside = remove_leftovers(built, ["course"])["old"]
    assert files(aside) == moved
    assert {name: (aside / name).read_text() for name in moved} == before
    assert not (built / "artifacts/old").exists()
    assert not (built / METRICS).exists()


def test_a_link_to_what_the_cache_holds_is_removed_and_not_what_it_leads_to(built: Path) -> None:
    """DVC can be told to link files to its cache, and a user may keep a folder on another disk."""
    target, disk = cached(built, MODEL), built / "disk"
    (built / MODEL).unlink()
    (built / MODEL).symlink_to(target)
    (built / SNAPSHOTS).rename(disk)
    (built / SNAPSHOTS).symlink_to(disk)
    assert remove_leftovers(built, ["course"]) == {"old": None}
    assert not (built / "artifacts/old").exists()
    assert target.read_text() == "weights of old\n"
    assert files(disk) == {"one", "two"}
