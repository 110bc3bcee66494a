"""``dvc repro`` as a child: its lines, its exit code, and its end."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.repro import StageFailedError, end_group, repro
from tasks.errors import TryAgainError
from tests.flows.conftest import interrupted_by

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


def test_a_workspace_that_dvc_has_locked_is_a_passing_condition(dvc_project: Path) -> None:
    import zc.lockfile

    write_stage(dvc_project, "cp given result")
    lock = zc.lockfile.LockFile(str(dvc_project / ".dvc" / "tmp" / "lock"))
    try:
        with pytest.raises(TryAgainError, match="another DVC command holds the workspace"):
            repro(dvc_project, [], environment(), lambda _: None)
    finally:
        lock.close()


def test_a_file_that_another_dvc_command_writes_is_a_passing_condition(dvc_project: Path) -> None:
    write_stage(dvc_project, "cp given result")
    writer = {"pid": os.getpid(), "cmd": "dvc repro"}
    (dvc_project / ".dvc" / "tmp" / "rwlock").write_text(json.dumps({"write": {str(dvc_project / "result"): writer}}))
    with pytest.raises(TryAgainError, match="another DVC command holds the workspace"):
        repro(dvc_project, [], environment(), lambda _: None)


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


def test_an_interrupted_build_ends_and_is_heard_where_interrupts_are_ignored(dvc_project: Path) -> None:
    worker = """
import time
try:
    print("up", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("saved", flush=True)
"""
    (dvc_project / "worker.py").write_text(worker)
    write_stage(dvc_project, "python worker.py")
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if line == "up":
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            repro(dvc_project, [], environment(), interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "saved" in lines


def started(program: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_a_process_that_ignores_interrupts_is_asked_to_terminate() -> None:
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    with started(deaf) as process:
        end_group(process, print, threading.Event(), grace=0.2)
        assert process.returncode == -signal.SIGTERM


def test_a_process_that_ignores_every_request_is_killed() -> None:
    stubborn = """
import signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print("up", flush=True)
signal.pause()
"""
    with started(stubborn) as process:
        end_group(process, print, threading.Event(), grace=0.2)
        assert process.returncode == -signal.SIGKILL


def test_who_is_in_a_hurry_does_not_wait_for_the_grace() -> None:
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    hurry = threading.Event()
    hurry.set()
    with started(deaf) as process:
        end_group(process, print, hurry, grace=600.0)
        assert process.returncode == -signal.SIGTERM


def test_signals_that_come_while_a_build_is_ended_do_not_leave_it_running(dvc_project: Path) -> None:
    worker = """
import os, signal, time
try:
    print("up", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    os.kill(int(os.environ["BUILDER"]), signal.SIGINT)
    os.kill(int(os.environ["BUILDER"]), signal.SIGTERM)
    print("saved", flush=True)
"""
    (dvc_project / "worker.py").write_text(worker)
    write_stage(dvc_project, "python worker.py")
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if line == "up":
            signal.raise_signal(signal.SIGINT)

    with interrupted_by(signal.SIGINT), interrupted_by(signal.SIGTERM):
        with pytest.raises(KeyboardInterrupt):
            repro(dvc_project, [], {**environment(), "BUILDER": str(os.getpid())}, interrupt)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert "saved" in lines


def test_a_child_is_given_time_after_its_parent_has_ended() -> None:
    child = """
import signal, sys
def save(*_):
    print("saved", flush=True)
    sys.exit()
signal.signal(signal.SIGINT, save)
print("up", flush=True)
signal.pause()
"""
    parent = f"""
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", {child!r}])
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pause()
"""
    lines: list[str] = []
    with started(parent) as process:
        end_group(process, lines.append, threading.Event())
    assert lines == ["saved"]


def test_ending_what_has_ended_is_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], text=True, start_new_session=True) as process:
        process.wait()
        end_group(process, print, threading.Event())
