"""Completes MLflow from the files of the workspace: ``python -m flows.reconcile [--debug]``.

Stages that DVC restored from its cache ran no code and left no record, and a tracking outage loses some; this writes
what is missing and nothing twice. Runs that were left open by a process that is gone are marked as killed.
"""

import logging
import sys
from typing import Any, NoReturn

from flows.environment import log_to_stderr, prepare_environment
from flows.stage import CommandLine, guarded
from tasks.config import load_params


def reconcile() -> int:
    """Write every missing record; returns the number of stages whose record is complete now."""
    params = load_params()
    prepare_environment()
    from tasks.paths import metrics_file
    from tasks.records import JUDGE_STAGES, VARIANT_STAGES
    from tasks.tracking import close_stale_runs, publish

    wanted: list[tuple[str, str | None]] = [(stage, None) for stage in JUDGE_STAGES]
    wanted += [(stage, variant) for variant in params.variants for stage in VARIANT_STAGES]
    made = [(stage, variant) for stage, variant in wanted if metrics_file(stage, variant).is_file()]
    if made:
        close_stale_runs()
    told: list[Any] = []
    for stage, variant in made:
        place = publish(stage, variant, "FINISHED", {}, settled=True)
        if place is None:
            break
        told.append(place)
    return len(told)


def main() -> NoReturn:
    """Reconcile as a program and leave with its exit code; a store that cannot be used is a warning."""
    log_to_stderr()
    sys.exit(guarded(_program, "--debug" in sys.argv[1:]))


def _program() -> None:
    parser = CommandLine(prog="python -m flows.reconcile", description="Complete MLflow from the workspace's files.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.parse_args()
    logging.getLogger("flows.reconcile").info("MLflow: records of %d stages are complete", reconcile())


if __name__ == "__main__":
    main()
