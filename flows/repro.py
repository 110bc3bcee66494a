"""``dvc repro`` as a child in its own process group: its lines are passed on, and it is ended whole or not at all."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from flows.interruptions import one_interruption
from tasks.errors import PipelineError, TryAgainError

GRACE_SECONDS = 30.0
POLL_SECONDS = 0.1
FAILED_STAGE = re.compile(r"failed to reproduce '([^']+)'.*?(?:exited with (\d+))?$")

LOCKED = re.compile(r"^ERROR: .*(Unable to acquire lock|is busy, it is being blocked by)")


class StageFailedError(PipelineError):
    """A stage failed; the exit code is the stage's own."""

    def __init__(self, stage: str, exit_code: int) -> None:
        super().__init__(stage, f"failed with exit code {exit_code}", "exit code 0", "read the lines above")
        self.exit_code = exit_code


def repro(workspace: Path, targets: list[str], environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
    """Have DVC rebuild what has changed.

    Args:
        workspace: the folder that holds ``dvc.yaml``.
        targets: stages to bring up to date; all of them if empty.
        environment: variables for DVC and the stages.
        tell: called with every line of output.

    Raises:
        StageFailedError: a stage failed, or DVC itself.
        TryAgainError: another DVC command is at work in the same folder.
    """
    command = [sys.executable, "-m", "flows.dvc", "repro", *targets]
    with one_interruption() as hurry, _started(command, workspace, environment) as process:
        try:
            lines = _pass_on(process, tell)
            process.wait()
        except BaseException:
            end_group(process, tell, hurry)
            raise
    if process.returncode:
        raise _failure(lines, process.returncode)


def _started(command: list[str], workspace: Path, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        cwd=workspace,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def end_group(
    process: "subprocess.Popen[str]",
    tell: Callable[[str], None],
    hurry: threading.Event,
    grace: float = GRACE_SECONDS,
) -> None:
    """Ask a process and its children to stop, so that training saves its state, and in the end kill them.

    Args:
        process: the leader of the group.
        tell: called with every line that they still write, from a thread of its own.
        hurry: set to have the next request made now.
        grace: seconds that they have after each request.
    """
    reader = threading.Thread(target=_drain, args=(process, tell), daemon=True)
    reader.start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        _wait(reader, hurry, grace)  # the output ends with the last process that holds it
        if not reader.is_alive() and _has_ended(process, grace):
            return


def _wait(reader: threading.Thread, hurry: threading.Event, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while reader.is_alive() and time.monotonic() < deadline and not hurry.is_set():
        reader.join(POLL_SECONDS)
    hurry.clear()


def _drain(process: "subprocess.Popen[str]", tell: Callable[[str], None]) -> None:
    for line in process.stdout or ():
        with contextlib.suppress(OSError):  # whoever listened may be gone
            tell(line.rstrip())


def _has_ended(process: "subprocess.Popen[str]", seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _pass_on(process: "subprocess.Popen[str]", tell: Callable[[str], None]) -> list[str]:
    """Pass on every line; returns those that say what failed."""
    failures = []
    for line in process.stdout or ():
        text = line.rstrip()
        tell(text)
        if FAILED_STAGE.search(text) or LOCKED.match(text):
            failures.append(text)
    return failures


def _failure(lines: list[str], exit_code: int) -> PipelineError:
    if any(LOCKED.match(line) for line in lines):
        return TryAgainError("dvc repro", "another DVC command holds the workspace", "one at a time", "wait for it")
    found = FAILED_STAGE.search(lines[-1]) if lines else None
    if found is None:
        return StageFailedError("dvc repro", exit_code)
    return StageFailedError(found[1], int(found[2] or exit_code))
