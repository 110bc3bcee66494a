"""The resume state of finished trainings: kept until ``dvc.lock`` holds what came of it, and then removed.

Between the end of a training and DVC's record of it lies the time in which MLflow is told and the results are hashed
and cached. A build that is killed there finds its outputs deleted when it runs again: then they are published once
more, from the state.
"""

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tasks.errors import IntegrityError
from tasks.files import read_json, write_json
from tasks.locked_build import LockedBuild, dvc_md5
from tasks.paths import WORK

MARK = "published.json"
ASIDE = ".finished-"


def mark_published(folder: Path, results: Iterable[Path]) -> None:
    """Note in a finished run's folder what was made of it.

    Args:
        folder: the run's folder.
        results: files that together tell this run from any other, also from one that made the same weights: beside
            these the history, which holds the seconds.
    """
    write_json(folder / MARK, {str(path): dvc_md5(path) for path in results})


def sweep_recorded() -> None:
    """Remove the folders of all runs whose results ``dvc.lock`` holds, and what kills left of earlier removals.

    The results themselves are not looked at: DVC deletes them before it runs their stage again.
    """
    lock = LockedBuild()
    marks = [mark for mark in WORK.glob(f"*/*/{MARK}") if not mark.parent.name.startswith(ASIDE)]
    for folder in [mark.parent for mark in marks if lock.holds(_published(mark))]:
        with suppress(FileNotFoundError):  # another process was faster
            folder.replace(tempfile.mkdtemp(prefix=ASIDE, dir=folder.parent))  # whole or gone, whenever it is killed
    for rest in WORK.glob(f"*/{ASIDE}*"):
        shutil.rmtree(rest, ignore_errors=True)


def _published(mark: Path) -> dict[str, str]:
    """What a mark says was published: nothing if it is damaged, so that the state is kept."""
    try:
        return read_json(mark)
    except IntegrityError:
        return {}
