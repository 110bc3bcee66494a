"""Trainings of a side-by-side run that has not come to its end, so that one that is interrupted goes on from there."""

import shutil
from dataclasses import asdict

from pydantic import TypeAdapter, ValidationError

from benchmarks.circumstances import Circumstances
from benchmarks.contenders import ENTRIES, Entry
from benchmarks.limits import Limits
from benchmarks.outcomes import Outcome
from tasks.files import sha256_json, write_json
from tasks.paths import WORK

FOLDER = WORK / "side_by_side"
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class Unfinished:
    """What has come of the entries of a run, in files.

    Args:
        limits: of the run.
        circumstances: of the run; others have files of their own.
    """

    def __init__(self, limits: Limits, circumstances: Circumstances) -> None:
        self._folder = FOLDER / sha256_json([asdict(limits), asdict(circumstances)])[:16]

    def outcome(self, entry: Entry) -> Outcome | None:
        """What came of an entry; None where nothing is known, or its file is damaged."""
        path = self._folder / f"{ENTRIES.index(entry)}.json"
        try:
            return OUTCOME.validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None

    def keep(self, entry: Entry, outcome: Outcome) -> None:
        """Write down what came of an entry."""
        write_json(self._folder / f"{ENTRIES.index(entry)}.json", OUTCOME.dump_python(outcome, mode="json"))

    def forget(self) -> None:
        """Remove the files, so that the next run measures everything anew."""
        shutil.rmtree(self._folder, ignore_errors=True)
