"""Results of a run that has not come to its end, so that one that is interrupted goes on from there."""

import shutil
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from tasks.files import sha256_json, write_json
from tasks.paths import WORK

T = TypeVar("T")


class Unfinished(Generic[T]):
    """What has come of the parts of a run, in a file each.

    Args:
        run: its name.
        kind: of the results.
        conditions: as JSON, what they depend on; where it is another, nothing is known yet.
    """

    def __init__(self, run: str, kind: TypeAdapter[T], conditions: Any) -> None:
        self._folder, self._kind = WORK / run / sha256_json(conditions)[:16], kind

    def result(self, part: str) -> T | None:
        """What came of a part; None where nothing is known, or its file is damaged."""
        try:
            return self._kind.validate_json((self._folder / f"{part}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def keep(self, part: str, result: T) -> None:
        """Write down what came of a part."""
        write_json(self._folder / f"{part}.json", self._kind.dump_python(result, mode="json"))

    def forget(self) -> None:
        """Remove the files, so that the next run measures everything anew."""
        shutil.rmtree(self._folder, ignore_errors=True)
