"""A profile's own copy of the project: complete, up to date, and written only where it has changed."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from flows.workspace import built_workspace, prepare_workspace, profile_params, project_files
from tasks.config import load_params
from tasks.errors import ConfigError, MissingResourceError
from tasks.paths import project_root

ROOT = Path(__file__).parents[2]
PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project under git, with one file that is ignored and one that is generated."""
    root = tmp_path / "project"
    for name, text in {
        "params.yaml": (ROOT / "params.yaml").read_text(),
        "profiles/demo.yaml": "seed: 7\n",
        "dvc.yaml": "stages: {}\n",
        "dvc.lock": "schema: '2.0'\n",
        ".gitignore": "/data/\n/builds/\n/.work/\n",
        ".dvc/config": "[core]\n",
        "flows/fetch.py": "1\n",
        "data/raw/big": "not to be copied",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return root


def test_without_a_profile_the_project_is_the_workspace(project: Path) -> None:
    assert prepare_workspace(None) == project


def test_a_workspace_holds_the_working_tree_and_the_merged_parameters(project: Path) -> None:
    workspace = prepare_workspace("demo")
    copied = {str(path.relative_to(workspace)) for path in workspace.rglob("*") if path.is_file()}
    own = {"params.yaml", ".workspace.json", ".dvc/config"}
    assert copied == own | {".gitignore", "dvc.yaml", "flows/fetch.py", "profiles/demo.yaml"}
    params = load_params(workspace / "params.yaml")
    assert params.seed == 7
    assert params.variants == load_params(project / "params.yaml").variants


def test_a_workspace_has_its_own_dvc_with_the_cache_of_the_project(project: Path) -> None:
    config = (prepare_workspace("demo") / ".dvc" / "config").read_text()
    assert "no_scm = true" in config
    assert f"dir = {project}/.dvc/cache" in config


def test_relative_folders_mean_the_same_from_the_workspace(project: Path) -> None:
    folders = profile_params(project, "demo")["data"]["folders"]
    assert folders[0] == "$FASHION_MNIST_DIR"
    assert folders[1] == str(project / "data" / "incoming")
    assert folders[2] == str(project.parent / "shared" / "data" / "fashion-mnist")
    assert profile_params(project, "demo")["scorer"]["folder"] == str(project / "clip")


def test_what_has_not_changed_is_not_written(project: Path) -> None:
    workspace = prepare_workspace("demo")
    names = ("flows/fetch.py", "params.yaml", ".dvc/config")
    before = [(workspace / name).stat().st_mtime_ns for name in names]
    prepare_workspace("demo")
    assert [(workspace / name).stat().st_mtime_ns for name in names] == before


def test_changes_and_removals_arrive_and_what_the_build_made_stays(project: Path) -> None:
    workspace = prepare_workspace("demo")
    (workspace / "dvc.lock").write_text("its own\n")
    (workspace / "reports").mkdir()
    (workspace / "reports" / "report.html").write_text("made")
    (project / "flows" / "fetch.py").write_text("2\n")
    (project / "flows" / "new.py").write_text("3\n")
    (project / "dvc.yaml").unlink()
    prepare_workspace("demo")
    assert (workspace / "flows" / "fetch.py").read_text() == "2\n"
    assert (workspace / "flows" / "new.py").read_text() == "3\n"
    assert not (workspace / "dvc.yaml").exists()
    assert (workspace / "dvc.lock").read_text() == "its own\n"
    assert (workspace / "reports" / "report.html").read_text() == "made"


def test_inside_a_workspace_the_project_is_still_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepare_workspace("demo"))
    assert project_root() == project
    assert json.loads(Path(".workspace.json").read_text())["profile"] == "demo"


def test_without_git_the_same_files_are_found(project: Path) -> None:
    with_git = [path for path in project_files(project) if path.parts[0] != ".dvc"]
    (project / ".git").rename(project.parent / "elsewhere")
    assert project_files(project) == with_git


@pytest.mark.parametrize("profile", ["nope", "../demo", "", "demo.yaml"])
def test_an_unknown_profile_is_refused(project: Path, profile: str) -> None:
    with pytest.raises(ConfigError, match=r"--profile: got .*; expected one of demo"):
        prepare_workspace(profile)
    assert not Path("builds").exists()


def test_a_profile_with_a_wrong_value_is_refused_before_anything_is_written(project: Path) -> None:
    (project / "profiles" / "demo.yaml").write_text("seed: -1\n")
    with pytest.raises(ConfigError, match="seed"):
        prepare_workspace("demo")
    assert not Path("builds").exists()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_projects_own_profiles_survive_being_written_and_read_again(project: Path, profile: str) -> None:
    (project / "profiles" / "demo.yaml").write_text((ROOT / "profiles" / f"{profile}.yaml").read_text())
    merged = load_params(prepare_workspace("demo") / "params.yaml")
    direct = load_params(project / "params.yaml", project / "profiles" / "demo.yaml")
    assert merged.variants == direct.variants
    scorer = replace(direct.scorer, folder=str(project / direct.scorer.folder))
    assert (merged.critic, merged.scorer, merged.sample) == (direct.critic, scorer, direct.sample)


@pytest.mark.parametrize("text", ["yes", "off", "012", "1e-3", "1:30", "null", "3", "- a", "a: b", "# c", " x ", "é"])
def test_texts_that_look_like_something_else_stay_texts(project: Path, text: str) -> None:
    (project / "profiles" / "demo.yaml").write_text(f"scorer: {{model: {json.dumps(text)}}}\n")
    assert load_params(prepare_workspace("demo") / "params.yaml").scorer.model == text


def test_a_build_is_found_by_its_profile_and_only_once_it_is_there(project: Path) -> None:
    with pytest.raises(MissingResourceError, match=r"do run python -m flows\.pipeline --profile demo"):
        built_workspace("demo")
    workspace = prepare_workspace("demo")
    assert built_workspace("demo") == workspace
    with pytest.raises(ConfigError, match=r"one of demo"):
        built_workspace("nosuch")
