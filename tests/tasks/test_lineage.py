"""A result names the commit it came from and all that the commit does not hold."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.files import sha256_file
from tasks.lineage import git_diff, git_tags, training_code_sha256, training_marks
from tests.tasks.small_variants import CPU, CPU_BFLOAT16


def _git(*arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *who, *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    Path("tracked.py").write_text("a = 1\n")
    Path(".gitignore").write_text("ignored\n")
    _git("init", "--quiet")
    _git("add", ".")
    _git("commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_clean_tree_is_its_commit(checkout: Path) -> None:
    (checkout / "ignored").write_text("")
    (checkout / "dvc.lock").write_text("")
    commit = _git("rev-parse", "HEAD")
    assert git_tags() == {"git.commit": commit, "git.dirty": "false", "mlflow.source.git.commit": commit}
    assert git_diff() == ""


def test_a_changed_file_makes_the_tree_dirty_and_lies_in_the_diff(checkout: Path) -> None:
    (checkout / "tracked.py").write_text("a = 2\n")
    assert git_tags()["git.dirty"] == "true"
    assert "git.untracked" not in git_tags()
    assert "+a = 2" in git_diff()


def test_an_unknown_file_makes_the_tree_dirty_and_is_named(checkout: Path) -> None:
    (checkout / "models").mkdir()
    (checkout / "models" / "new.py").write_text("")
    tags = git_tags()
    assert tags["git.dirty"] == "true"
    assert tags["git.untracked"] == "models/new.py"


def test_outside_a_checkout_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_tags() == {}


def test_trainings_in_two_precisions_are_marked_apart_and_auto_as_what_it_means_here(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    exact, rounded = training_marks(CPU), training_marks(CPU_BFLOAT16)
    assert {key for key in exact if exact[key] != rounded[key]} == {"precision"}
    monkeypatch.setattr("tasks.precision.bfloat16_gain", lambda: 2.0)
    assert training_marks(replace(CPU, device="auto", precision="auto")) == rounded


@pytest.mark.parametrize("changed", ["flows/train.py", "tasks/train.py", "models/training.py"])
def test_every_file_of_the_training_counts_also_where_two_have_one_name(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = training_code_sha256()
    assert training_code_sha256() == before
    monkeypatch.setattr(
        "tasks.lineage.sha256_file", lambda path: "changed" if path.match(f"*/{changed}") else sha256_file(path)
    )
    assert training_code_sha256() != before
