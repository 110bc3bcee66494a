"""Completes MLflow from the files of the workspace: ``python -m flows.reconcile [--profile NAME] [--quiet]``.

Stages that DVC restored from its cache ran no code and left no record, and a tracking outage loses some; this writes
what is missing and nothing twice. It takes the results that ``dvc.lock`` proves to be those of today's parameters and
code; of others nobody can say here what they were made with. A stage whose files are damaged costs one warning and
keeps no other from its record. Runs that were left open by a process that is gone are marked as killed, and the resume
state of trainings that DVC has recorded is removed.
"""

import logging
import os
import sys
from typing import NoReturn

from flows.environment import log_to_stderr, prepare_environment
from flows.stage import CommandLine, guarded
from flows.workspace import built_workspace
from tasks.config import load_params

logger = logging.getLogger("flows.reconcile")


def reconcile() -> int:
    """Write every missing record; returns the number of stages whose record is complete now."""
    params = load_params()
    prepare_environment()
    from tasks.paths import metrics_file
    from tasks.records import stages_to_record
    from tasks.resume_state import sweep_recorded
    from tasks.tracking import close_stale_runs, complete

    sweep_recorded()
    made = [found for found in stages_to_record(params.variants) if metrics_file(*found).is_file()]
    if made:
        close_stale_runs()
    return complete(_current(made))


def _current(made: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """The stages whose results are proved current; of each other one, a line says why it is not."""
    from tasks.lineage import stage_name
    from tasks.locked_build import LockedBuild

    lock = LockedBuild()
    objections = {found: lock.objection(*found) for found in made}
    for found, objection in objections.items():
        if objection:
            name = stage_name(*found)
            logger.info("MLflow: %s is left out, %s; dvc repro %s brings it up to date", name, objection, name)
    return [found for found in made if not objections[found]]


def main() -> NoReturn:
    """Reconcile as a program and leave with its exit code; a store that cannot be used is a warning."""
    log_to_stderr()
    sys.exit(guarded(_program, "--debug" in sys.argv[1:]))


def _program() -> None:
    parser = CommandLine(prog="python -m flows.reconcile", description="Complete MLflow from the workspace's files.")
    parser.add_argument("--profile", help="name of a file in profiles/, whose build is meant")
    parser.add_argument("--quiet", action="store_true", help="say only what goes wrong")
    options = parser.parse_args()
    if options.quiet:
        logger.setLevel(logging.WARNING)
    if options.profile:
        os.chdir(built_workspace(options.profile))
    logger.info("MLflow: records of %d stages are complete", reconcile())


if __name__ == "__main__":
    main()
