"""``dvc`` in this process, ended with the process that started it: ``python -m flows.dvc repro`` is ``dvc repro``."""

import sys

from flows.environment import die_with_parent


def main() -> int:
    """Run DVC's own command line."""
    die_with_parent()
    from dvc.cli import main as dvc  # type: ignore[import-untyped]

    return int(dvc(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
