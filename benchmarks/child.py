"""A measurement in a process of its own, which pays for nothing that another has used and costs no other its turn."""

import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from benchmarks.outcomes import Failure

T = TypeVar("T")


def result_of_child(kind: TypeAdapter[T], name: str, module: str, arguments: list[str]) -> T | Failure:
    """Run a module of this package, which prints what came of it as JSON in its last line.

    Args:
        kind: of the result.
        name: what a failure is called.
        module: without the package.
        arguments: of its command line.

    Returns:
        The result, or that there is none: the process failed, or was killed. What it said is on stderr.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return kind.validate_json("".join(done.stdout.splitlines()[-1:]))
    except ValidationError:
        return Failure(name, f"its process ended with code {done.returncode}")


def tell_result(kind: TypeAdapter[T | Failure], name: str, work: Callable[[], T], debug: bool = False) -> None:
    """Print what came of some work, for :func:`result_of_child`; whatever goes wrong is a result too.

    Args:
        kind: of the result.
        name: what a failure is called.
        work: makes the result.
        debug: show the traceback of an error.
    """
    result: T | Failure
    try:
        result = work()
    except Exception as error:
        if debug:
            traceback.print_exc()
        result = Failure(name, " ".join(f"{type(error).__name__}: {error}".split()))
    print_result(kind, result)


def print_result(kind: TypeAdapter[T], result: T) -> None:
    """Print a result where :func:`result_of_child` looks for it."""
    sys.stdout.write(f"\n{kind.dump_json(result).decode()}\n")
