"""``dvc`` in this process, ended with the process that started it: ``python -m flows.dvc repro`` is ``dvc repro``."""

import signal
import sys

from flows.environment import die_with_parent


def main() -> int:
    """Run DVC's own command line."""
    die_with_parent()
    # Under nohup or cron Ctrl-C's signal is ignored, by all children too; it is how the pipeline asks training to save.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from dvc.cli import main as dvc  # type: ignore[import-untyped]

    return int(dvc(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
