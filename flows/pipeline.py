"""The parent flow: rebuilds a report through DVC, with every stage as a sub-flow.

``python -m flows.pipeline [--profile demo] [stage ...]``, or as the Prefect deployment of ``prefect.yaml``. One Prefect
server serves all stages: the one that answers, else one of its own for the time of the build, else none.
"""

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from flows.artifacts import in_flow_run, show_link, show_markdown
from flows.environment import log_to_stderr, prefect_mode, prepare_environment, reachable_prefect
from flows.leftovers import remove_leftovers
from flows.mirror import AFTERWARDS, mlflow_address
from flows.observed import PARENT, crash_lost_runs, current_flow_run, run_job
from flows.repro import StageFailedError, repro
from flows.stage import CommandLine, guarded, single_builder
from flows.workspace import prepare_workspace, profile_params
from tasks.clip_folder import require_model_files
from tasks.config import PARAMS, load_params, parse_params, profile_file
from tasks.errors import ConfigError, MissingResourceError
from tasks.params import Params
from tasks.paths import project_root
from tasks.strict_yaml import read_mapping

prepare_environment()  # before Prefect reads it

from prefect import flow, get_run_logger  # noqa: E402 - see the line above

logger = logging.getLogger("flows.pipeline")
RECONCILE_SECONDS = 60.0
"""What completing the records may take before the first of them: to start, and to open or make the store."""
RECONCILE_SECONDS_A_STAGE = 10.0
"""What each stage's record may take beside that: several times what it does on two busy cores with a local store."""
REACHED = re.compile(r"^(Running stage|Stage) '")
"""Begins DVC's line on each stage that it runs, skips or takes from its cache."""
ADVICE = re.compile(
    r"^(Use `dvc push`|To (track the changes with git|enable auto staging), run:|\t(git add|dvc config) )"
)
"""What DVC advises at its end and this project has no use for: a remote, and git's index."""
SEEN = "seen_on_the_terminal"
"""Attribute of a log record whose text the terminal has shown."""
ANYWHERE = {"fetch", "prepare"}
"""Stages that need no device."""


@flow(name="pipeline", validate_parameters=False)
def pipeline(profile: str | None = None, targets: list[str] | None = None) -> str:
    """Rebuild a report.

    Args:
        profile: name of a file in ``profiles/``, or None for the project's own parameters.
        targets: DVC stages to bring up to date; all of them if not given.

    Returns:
        The path of the report.
    """
    check_request(profile, targets or [])
    with single_builder(profile):
        _open_mlflow()
        return str(rebuild(profile, targets or []))


def rebuild(profile: str | None, targets: list[str]) -> Path:
    """Bring a workspace, whose lock is held, up to date and return the path of its report.

    Raises:
        StageFailedError: a stage failed.
    """
    workspace = prepare_workspace(profile)
    environment = _stage_environment()
    params = load_params(workspace / PARAMS)
    seconds, stages = reconcile_seconds(params), 0 if targets else count_stages(workspace, list(params.variants))
    for name, aside in remove_leftovers(workspace, params.variants).items():
        where = f"what the cache does not hold lies in {aside}" if aside else "the cache holds them"
        logger.info("%s is no variant of this build any more: its outputs are removed, %s", name, where)
    try:
        repro(workspace, targets, environment, Teller(stages))
    except StageFailedError:
        if in_flow_run():
            crash_lost_runs()
        _reconcile(workspace, environment, seconds, "--quiet")  # the error's line is to stand last
        raise
    _reconcile(workspace, environment, seconds)
    report = workspace / "reports" / "report.html"
    show_markdown("report", f"The report: `{report}`", "Where the report lies")
    show_link("mlflow", mlflow_address(), "All runs in MLflow")
    return report


def check_request(profile: str | None, targets: list[str]) -> None:
    """Refuse what cannot be built, before anything slow is started.

    Raises:
        ConfigError: the profile, the parameters or a target are wrong.
        MissingResourceError: the device, or the model folder, asked for is not there.
    """
    root = project_root()
    params = parse_params(profile_params(root, profile), profile) if profile else load_params(root / PARAMS)
    known = _known_targets(root, list(params.variants))
    for target in targets:
        if target not in known:
            raise ConfigError("targets", f"got {target!r}", f"one of {', '.join(known)}", "correct the name")
    if set(targets or known) <= ANYWHERE:
        return
    if params.scorer.source == "folder":
        require_model_files(root / params.scorer.folder)
    if params.compute.device == "cuda":
        _require_gpu(profile_file(profile, root).relative_to(root) if profile else PARAMS)


def _known_targets(root: Path, variants: list[str]) -> list[str]:
    """The stages of ``dvc.yaml``; one that runs per variant has a name for all of its runs and one for each."""
    known = []
    for name, stage in read_mapping(root / "dvc.yaml")["stages"].items():
        known += [name, *(f"{name}@{variant}" for variant in variants if "matrix" in stage)]
    return known


def count_stages(workspace: Path, variants: list[str]) -> int:
    """How many stages a whole build goes through; one that runs per variant counts once for each."""
    stages = read_mapping(workspace / "dvc.yaml")["stages"].values()
    return sum(len(variants) if "matrix" in stage else 1 for stage in stages)


def _require_gpu(file: Path) -> None:
    """Ask a process of its own, since torch takes seconds to load; ``file`` wants a GPU."""
    question = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    if subprocess.run([sys.executable, "-c", question], stderr=subprocess.DEVNULL, check=False).returncode:
        raise MissingResourceError(
            f"{file}: compute.device", "no GPU is usable", "a CUDA device", "set it to auto or cpu"
        )


def main() -> NoReturn:
    """Rebuild as a program and leave with its exit code."""
    log_to_stderr()
    sys.exit(guarded(_program, "--debug" in sys.argv[1:]))


@dataclass(frozen=True, slots=True)
class _Rebuild:
    """The parent flow's work, to be observed."""

    arguments: dict[str, Any]
    name: str = "pipeline"

    @property
    def label(self) -> str:
        return f"pipeline-{self.arguments['profile'] or 'project'}"

    def run(self) -> None:
        report = rebuild(**self.arguments)
        if report.is_file():
            sys.stdout.write(f"The report: {report}, with .pdf and .docx beside it\n")


def _program() -> None:
    parser = CommandLine(prog="python -m flows.pipeline", description="Rebuild a report.")
    parser.add_argument("--profile", help="name of a file in profiles/")
    parser.add_argument("targets", nargs="*", help="stages to bring up to date; all of them if none is named")
    options = parser.parse_args()
    check_request(options.profile, options.targets)
    mode = prefect_mode()
    with _termination_raised(), single_builder(options.profile):
        _open_mlflow()  # while Prefect's server starts
        address = None if mode == "off" else reachable_prefect()
        work = _Rebuild({"profile": options.profile, "targets": options.targets})
        run_job(work, mode, address, ephemeral=_has_loopback())


class _TerminatedError(BaseException):
    """SIGTERM, as an exception that unwinds the build."""

    signal = int(signal.SIGTERM)


@contextmanager
def _termination_raised() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that the stages are ended before this process is."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TerminatedError

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stage_environment() -> dict[str, str]:
    """What stages are told: the parent's server and flow run, and that their records are written afterwards."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, AFTERWARDS: "1", "PYTHONUNBUFFERED": "1", "PATH": path}
    if in_flow_run():
        environment["PREFECT_API_URL"], environment[PARENT] = current_flow_run()
    else:
        environment["PIPELINE_PREFECT"] = "off"
    return environment


class Teller:
    """Passes on the lines of a build, without DVC's advice and with one blank line where there were several.

    Args:
        stages: how many the build goes through, to number them; 0 where that is not known.
    """

    def __init__(self, stages: int = 0) -> None:
        self._begun = self._gap = False
        self._stages, self._reached = stages, 0
        for handler in logging.getLogger().handlers:  # under a worker these show all that goes to Prefect
            handler.addFilter(_is_unseen)

    def __call__(self, line: str) -> None:
        """Show a line; DVC's own in Prefect too, where each stage has shown its own."""
        if not line or ADVICE.match(line):
            self._gap = self._begun
            return
        reached = REACHED.match(line)
        if reached and self._stages:
            self._reached += 1
            line = f"[{self._reached}/{self._stages}] {line}"
        sys.stdout.write(f"\n{line}\n" if self._gap else f"{line}\n")
        sys.stdout.flush()
        self._begun, self._gap = True, False
        if in_flow_run() and (reached or line.startswith("ERROR")):
            get_run_logger().info(line, extra={SEEN: True})


def _is_unseen(entry: logging.LogRecord) -> bool:
    return not hasattr(entry, SEEN)


def _open_mlflow() -> None:
    """Make MLflow's store ready for the stages, beside whatever comes next; what goes wrong, the stages find out."""

    def work() -> None:
        from tasks.tracking import open_store

        with contextlib.suppress(Exception):
            open_store()

    threading.Thread(target=work, daemon=True).start()


def reconcile_seconds(params: Params) -> float:
    """How long completing the records of a build may take at most, all of its stages included."""
    from tasks.records import stages_to_record

    return RECONCILE_SECONDS + RECONCILE_SECONDS_A_STAGE * len(stages_to_record(params.variants))


def _reconcile(workspace: Path, environment: dict[str, str], seconds: float, *options: str) -> None:
    """Write the records of all stages, in bounded time and without a say in the build's success."""
    command = [sys.executable, "-m", "flows.reconcile", *options]
    try:
        subprocess.run(command, cwd=workspace, env=environment, timeout=seconds, check=True)
    except subprocess.SubprocessError as error:
        logger.warning("warning: MLflow may lack records (%s); run python -m flows.reconcile", type(error).__name__)


def _has_loopback() -> bool:
    """Whether this machine lets a process serve another one; some sandboxes do not."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=1.0).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
