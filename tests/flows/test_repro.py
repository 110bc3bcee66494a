"""``dvc repro`` as a child: its lines, its exit code, and its end."""

import os
import signal
import sys
from pathlib import Path

import pytest

from flows.repro import StageFailedError, end_group, repro

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dvc_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    site_cache_dir = .work/dvc\n")
    (tmp_path / "given").write_text("1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "DVC_NO_ANALYTICS": "1"}


def write_stage(folder: Path, command: str) -> None:
    stage = f"stages:\n  made:\n    cmd: {command}\n    deps: [given]\n    outs: [result]\n"
    (folder / "dvc.yaml").write_text(stage)


def test_lines_are_passed_on_and_a_second_run_does_nothing(dvc_project: Path) -> None:
    write_stage(dvc_project, "echo hello && cp given result")
    for expected in (True, False):
        lines: list[str] = []
        repro(dvc_project, [], environment(), lines.append)
        assert ("hello" in lines) == expected
    assert (dvc_project / "result").read_text() == "1\n"


def test_the_exit_code_is_that_of_the_stage(dvc_project: Path) -> None:
    write_stage(dvc_project, "exit 5")
    with pytest.raises(StageFailedError, match="made: failed with exit code 5") as failure:
        repro(dvc_project, ["made"], environment(), lambda _: None)
    assert failure.value.exit_code == 5


def test_a_failure_of_dvc_itself_has_its_code(dvc_project: Path) -> None:
    write_stage(dvc_project, "true")
    with pytest.raises(StageFailedError, match="dvc repro: failed with exit code 255"):
        repro(dvc_project, ["unknown"], environment(), lambda _: None)


def test_an_interrupted_build_ends_every_process_of_it(dvc_project: Path) -> None:
    worker = "import os, time; open('pid', 'w').write(str(os.getpid())); print('up', flush=True); time.sleep(600)"
    (dvc_project / "worker.py").write_text(worker)
    write_stage(dvc_project, "python worker.py")

    def interrupt(line: str) -> None:
        if line == "up":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repro(dvc_project, [], environment(), interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((dvc_project / "pid").read_text()), 0)


def test_a_process_that_ignores_the_request_is_killed() -> None:
    import subprocess

    stubborn = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", stubborn], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        end_group(process, grace=0.2)
        assert process.returncode == -signal.SIGKILL


def test_ending_what_has_ended_is_nothing() -> None:
    import subprocess

    with subprocess.Popen([sys.executable, "-c", ""], text=True, start_new_session=True) as process:
        process.wait()
        end_group(process)
