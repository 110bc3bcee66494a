"""The one wrapper that every stage runs in: command line, configuration, lock, Prefect or not, one-line errors.

``python -m flows.<stage> [variant] [--debug]``. The parameters are checked first, before anything slow is imported.
``PIPELINE_PREFECT`` says how far Prefect takes part: ``auto`` uses a server that answers and else runs plainly, ``on``
insists, ``off`` leaves it out.
"""

import argparse
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from flows.artifacts import in_flow_run
from flows.environment import die_with_parent, log_to_stderr, prefect_mode, prepare_environment, reachable_prefect
from tasks.config import load_params
from tasks.errors import ConfigError, PipelineError
from tasks.locks import LOCKS, locked

StageFunction = Callable[..., None]
LOCK_SECONDS = 3.0
STARTED_BY = {"DVC_STAGE", "TORCHELASTIC_RUN_ID"}
"""Variables that say that DVC or ``torchrun`` started this process, and should not be outlived."""
UNEXPECTED = 1
STOPPED = 128


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage to run.

    Attributes:
        function: does the work; takes the variant's name if the stage runs per variant.
        variant: the variant's name, or None.
    """

    function: StageFunction
    variant: str | None

    @property
    def name(self) -> str:
        """The stage's name, as in ``dvc.yaml``."""
        return self.function.__name__

    @property
    def label(self) -> str:
        """The stage's name with its variant's."""
        return f"{self.name}-{self.variant}" if self.variant else self.name

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the function."""
        return {"variant": self.variant} if self.variant else {}

    def run(self) -> None:
        """Do the work, and mirror what came of it."""
        from flows.mirror import mirrored

        with mirrored(self.name, self.variant):
            self.function(**self.arguments)


def call(work: Any, *arguments: Any) -> Any:
    """Run a task: through Prefect inside a flow run, else as the plain function it wraps."""
    return work(*arguments) if in_flow_run() else work.fn(*arguments)


def main(function: StageFunction) -> NoReturn:
    """Run a stage as a program and leave with its exit code.

    Args:
        function: the stage's function, named as the stage in ``dvc.yaml``.
    """
    debug = "--debug" in sys.argv[1:]
    sys.exit(guarded(lambda: run_stage(function, getattr(options(function), "variant", None)), debug))


def guarded(work: Callable[[], None], debug: bool) -> int:
    """Do some work and turn every way in which it can end into an exit code, with one line on stderr if it failed.

    Args:
        work: what to do.
        debug: show the traceback too.

    Returns:
        0; the code of a :class:`PipelineError`; 130 or 143 after a signal; 1 for anything unexpected.
    """
    try:
        work()
    except PipelineError as error:
        return _report(str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        return _report("interrupted: stopped by the user; expected an unbroken run; do run it again", 130, debug)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return _report(
            f"{text}; expected no such failure; do run it again with --debug to see where", UNEXPECTED, debug
        )
    except BaseException as error:
        number = getattr(error, "signal", None)  # Prefect turns SIGTERM into an exception that carries its number
        if number is None:
            raise
        return _report(
            f"stopped: by signal {number}; expected an unbroken run; do run it again", STOPPED + number, debug
        )
    return os.EX_OK


def run_stage(function: StageFunction, variant: str | None = None) -> None:
    """Check the configuration, take the stage's lock and do its work, inside a Prefect flow run where one is wanted.

    Raises:
        ConfigError: the parameters, the variant or ``PIPELINE_PREFECT`` are wrong.
        TryAgainError: the stage is running elsewhere.
        MissingResourceError: ``PIPELINE_PREFECT=on`` and Prefect cannot run.
    """
    params = load_params()
    if variant:
        params.variant(variant)
    mode = prefect_mode()
    prepare_environment()
    log_to_stderr()
    if not STARTED_BY.isdisjoint(os.environ):
        die_with_parent()
    stage = Stage(function, variant)
    with single_writer(stage.label):
        if mode == "off":
            stage.run()
            return
        from flows.observed import run_job

        run_job(stage, mode, reachable_prefect())


@contextmanager
def single_writer(label: str) -> Iterator[None]:
    """Hold the lock of that name, so that no two processes write the same outputs.

    Raises:
        TryAgainError: another process holds it.
    """
    with locked(LOCKS / f"{label}.lock", LOCK_SECONDS):
        yield


def single_builder(profile: str | None) -> AbstractContextManager[None]:
    """Hold the lock of a profile's workspace, or of the project's own folder.

    Raises:
        TryAgainError: it is being rebuilt, or measured, elsewhere.
    """
    return single_writer(f"pipeline-{profile or 'project'}")


class CommandLine(argparse.ArgumentParser):
    """A command line with ``--debug``, whose errors read like all others.

    Args:
        prog: what is run.
        description: what it does.
    """

    def __init__(self, prog: str, description: str | None = None) -> None:
        super().__init__(prog=prog, description=description)
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments in one line.

        Raises:
            ConfigError: always.
        """
        usage = self.format_usage().removeprefix("usage: ").strip()
        raise ConfigError("command line", message, usage, f"run `{self.prog} --help`")


def options(function: StageFunction) -> argparse.Namespace:
    """The command line of a stage: ``debug``, and ``variant`` where it takes one.

    Raises:
        ConfigError: it has other arguments.
    """
    parser = CommandLine(
        prog=f"python -m flows.{function.__name__}", description=(function.__doc__ or "").partition("\n")[0]
    )
    if "variant" in inspect.signature(function).parameters:
        parser.add_argument("variant", help="name of a variant in params.yaml")
    return parser.parse_args()


def _report(line: str, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {line}\n")
    return exit_code
