"""The state of a finished training goes once DVC has recorded its results, and no earlier."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tasks.files import write_json, write_text
from tasks.locked_build import dvc_md5
from tasks.resume_state import mark_published, sweep_recorded
from tests.tasks.small_variants import SEED

WEIGHTS, HISTORY = Path("artifacts/course/model.safetensors"), Path("artifacts/course/history.csv")
STATE = Path(".work/course/0123456789abcdef")
STAGES = """stages:
  train:
    matrix: {variant: [course]}
    cmd: python train.py ${item.variant}
    deps: [data]
    outs: ["artifacts/${item.variant}/model.safetensors", "artifacts/${item.variant}/model.json"]
    plots: ["artifacts/${item.variant}/history.csv": {x: step}]
"""


def lock(**changed: str) -> None:
    """Write ``dvc.lock`` with the results as they are, but for the sums of those that are named."""
    sums = {path: changed.get(path.stem, dvc_md5(path)) for path in (WEIGHTS, HISTORY)}
    outs = [{"path": str(path), "md5": md5} for path, md5 in sums.items()]
    write_json(Path("dvc.lock"), {"schema": "2.0", "stages": {"train@course": {"outs": outs}}})


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training whose results have been published."""
    monkeypatch.chdir(tmp_path)
    write_text(WEIGHTS, "weights")
    write_text(HISTORY, "step,seconds\n1,0.5\n")
    write_text(STATE / "step-0000001.json", "{}")
    mark_published(STATE, [WEIGHTS, HISTORY])


def test_what_the_lock_holds_is_swept_also_where_the_results_are_gone(finished: None) -> None:
    lock()
    WEIGHTS.unlink()
    HISTORY.unlink()
    sweep_recorded()
    assert list(STATE.parent.iterdir()) == []


def test_without_a_lock_nothing_is_swept(finished: None) -> None:
    sweep_recorded()
    assert (STATE / "step-0000001.json").is_file()


@pytest.mark.parametrize("other", ["model", "history"])
def test_a_lock_of_another_training_sweeps_nothing(other: str, finished: None) -> None:
    lock(**{other: "0" * 32})
    sweep_recorded()
    assert (STATE / "step-0000001.json").is_file()


@pytest.mark.parametrize("content", ["", "{", "{}"], ids=["empty", "torn", "without files"])
def test_a_mark_that_says_nothing_sweeps_nothing(content: str, finished: None) -> None:
    lock()
    (STATE / "published.json").write_text(content)
    sweep_recorded()
    assert (STATE / "step-0000001.json").is_file()


def test_a_training_that_goes_on_is_left_alone(finished: None) -> None:
    lock()
    other = STATE.with_name("another")
    write_text(other / "step-0000001.json", "{}")
    sweep_recorded()
    assert list(STATE.parent.iterdir()) == [other]


@pytest.mark.slow
def test_dvc_itself_trains_once_however_it_is_killed_and_anew_when_it_is_told_to(workspace: Path) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tasks.train import run_training
        from tests.tasks.small_variants import COURSE, CPU

        class Recorder:
            def log(self, row, step):
                with open("steps", "a") as handle:
                    handle.write(f"{{step}} ")

        run_training(sys.argv[1], COURSE, CPU, {SEED}, Recorder())
        if os.path.exists("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    config = "[core]\n    no_scm = true\n    analytics = false\n    site_cache_dir = .dvc/site\n"
    for path, text in {".dvc/config": config, "dvc.yaml": STAGES, "train.py": program, "kill": ""}.items():
        write_text(Path(path), text)

    def repro(*arguments: str) -> bool:
        command = [sys.executable, "-m", "dvc", "repro", "--quiet", *arguments]
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        return subprocess.run(command, check=False, capture_output=True, env={"PATH": path}).returncode == 0

    once = "1 2 4 6 8 10 12 "
    assert not repro()
    assert not Path("dvc.lock").exists()
    history = HISTORY.read_bytes()
    Path("kill").unlink()
    assert repro()
    assert Path("steps").read_text() == once
    assert HISTORY.read_bytes() == history
    assert repro("--force")
    assert Path("steps").read_text() == once * 2
    assert len(list(Path(".work/course").iterdir())) == 1
    sweep_recorded()
    assert list(Path(".work/course").iterdir()) == []
