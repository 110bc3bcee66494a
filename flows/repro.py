"""``dvc repro`` as a child in its own process group: its lines are passed on, and it is ended whole or not at all."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.errors import PipelineError

GRACE_SECONDS = 30.0
FAILED_STAGE = re.compile(r"failed to reproduce '([^']+)'.*?(?:exited with (\d+))?$")


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
    """
    command = [sys.executable, "-m", "flows.dvc", "repro", *targets]
    with subprocess.Popen(
        command,
        cwd=workspace,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            lines = _pass_on(process, tell)
            process.wait()
        except BaseException:
            end_group(process)
            raise
    if process.returncode:
        raise _failure(lines, process.returncode)


def end_group(process: "subprocess.Popen[str]", grace: float = GRACE_SECONDS) -> None:
    """Ask a process and its children to stop, so that training saves its state; after ``grace`` seconds, kill them."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(grace)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _pass_on(process: "subprocess.Popen[str]", tell: Callable[[str], None]) -> list[str]:
    """Pass on every line; returns those that say what failed."""
    failures = []
    for line in process.stdout or ():
        text = line.rstrip()
        tell(text)
        if FAILED_STAGE.search(text):
            failures.append(text)
    return failures


def _failure(lines: list[str], exit_code: int) -> StageFailedError:
    found = FAILED_STAGE.search(lines[-1]) if lines else None
    if found is None:
        return StageFailedError("dvc repro", exit_code)
    return StageFailedError(found[1], int(found[2] or exit_code))
