"""A stage is current where DVC itself would find nothing to do; the workspace here is one that DVC has built."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.locked_build import LockedBuild

PARAMS = """variants:
  wide: {network: {channels: [8, 16], lr: 0.00001}, title: Wide}
  deep: {network: {channels: [4, 4], lr: 0.001}, title: Deep}
seed: 7
folder: captions
"""
STAGES = """stages:
  prepare:
    cmd: mkdir -p data && cp code.py data/a && cp code.py data/b && echo 1 > reports/metrics/prepare.json
    deps: ["${folder}", code.py]
    params: [seed]
    outs: [data]
    metrics: [reports/metrics/prepare.json]
  train:
    matrix: {variant: "${variants}"}
    cmd: cat data/a > ${item.variant}.txt && echo 1 > reports/metrics/train/${item.variant}.json
    deps: [data]
    params: ["variants.${item.variant}.network", seed]
    outs: ["${item.variant}.txt"]
    metrics: ["reports/metrics/train/${item.variant}.json"]
  score:
    matrix: {variant: "${variants}"}
    cmd: cp ${item.variant}.txt reports/metrics/score/${item.variant}.json
    deps: ["${item.variant}.txt", score.py]
    metrics: ["reports/metrics/score/${item.variant}.json"]
"""


def dvc(*arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def built_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with two variants, brought up to date."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("DVC_ROOT", "DVC_STAGE"):
            patch.delenv(name, raising=False)
        for name in ("reports/metrics/train", "reports/metrics/score", "captions/inner", ".dvc"):
            Path(name).mkdir(parents=True)
        config = "[core]\n    no_scm = true\n    analytics = false\n    site_cache_dir = .dvc/site\n"
        files = {".dvc/config": config, ".dvcignore": "# of no use here\n__pycache__\n", "params.yaml": PARAMS}
        files |= {"dvc.yaml": STAGES, "code.py": "a = 1\n", "score.py": "b = 1\n"}
        files |= {"captions/one.txt": "1", "captions/inner/b.txt": "2", "captions/inner-a.txt": "3"}
        for name, text in files.items():
            Path(name).write_text(text)
        dvc("repro", "--quiet")
    return folder


@pytest.fixture
def built(built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it, elsewhere."""
    shutil.copytree(built_folder, tmp_path / "moved", symlinks=True)
    monkeypatch.chdir(tmp_path / "moved")


def current() -> set[str]:
    lock = LockedBuild()
    stages = [("prepare", None), *((stage, name) for stage in ("train", "score") for name in ("wide", "deep"))]
    return {f"{stage}@{name}" if name else stage for stage, name in stages if not lock.objection(stage, name)}


ALL = {"prepare", "train@wide", "train@deep", "score@wide", "score@deep"}


def test_all_that_dvc_has_just_built_is_current_wherever_it_lies(built: None) -> None:
    Path("captions/__pycache__").mkdir()
    Path("captions/__pycache__/cache").write_text("ignored by DVC")
    assert current() == ALL


@pytest.mark.parametrize(
    ("file", "old", "new", "left"),
    [
        ("params.yaml", "channels: [8, 16]", "channels: [8, 32]", {"prepare", "train@deep", "score@deep"}),
        ("params.yaml", "title: Wide", "title: Wider", ALL),
        ("params.yaml", "seed: 7", "seed: 8", set()),
        ("params.yaml", "  wide:", "  wider:", {"prepare", "train@deep", "score@deep"}),
        ("score.py", "1", "2", {"prepare", "train@wide", "train@deep"}),
        ("code.py", "1", "2", set()),
        ("captions/inner/b.txt", "2", "4", set()),
        ("reports/metrics/train/deep.json", "1", "2", {"prepare", "train@wide", "score@wide"}),
        ("reports/metrics/score/deep.json", "a", "b", ALL - {"score@deep"}),
    ],
)
def test_what_has_changed_counts_for_all_that_was_made_from_it(
    file: str, old: str, new: str, left: set[str], built: None
) -> None:
    path = Path(file)
    text = path.read_text()
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new, 1))
    assert current() == left


def test_an_output_made_anew_leaves_behind_what_was_made_from_the_old_one(built: None) -> None:
    Path("code.py").write_text("a = 2\n")
    dvc("repro", "--quiet", "train@deep")
    assert current() == {"prepare", "train@deep"}


def test_a_missing_file_or_lock_proves_nothing(built: None) -> None:
    Path("reports/metrics/train/wide.json").unlink()
    assert current() == {"prepare", "train@deep", "score@deep"}
    Path("dvc.lock").unlink()
    assert LockedBuild().objection("train", "deep") == "dvc.lock does not tell of train@deep"
