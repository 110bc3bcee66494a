"""The four official archives of Fashion-MNIST, pinned by size and sha256."""

from dataclasses import dataclass
from pathlib import Path

from tasks.errors import MissingResourceError
from tasks.files import sha256_file
from tasks.paths import RAW


@dataclass(frozen=True, slots=True)
class Archive:
    """One gzip-compressed IDX file as published by its authors (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747).

    Attributes:
        name: official file name.
        count: images or labels inside.
        bytes: size of the archive.
        sha256: of the archive; computed from files whose md5 is the published one.
    """

    name: str
    count: int
    bytes: int
    sha256: str


MANIFEST = RAW / "manifest.json"
"""Whether the archives in ``data/raw`` are drawn, and the size and sha256 of each."""
IMAGES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
LABELS = {"train": "train-labels-idx1-ubyte.gz", "test": "t10k-labels-idx1-ubyte.gz"}
ARCHIVES = (
    Archive(IMAGES["train"], 60_000, 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    Archive(LABELS["train"], 60_000, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    Archive(IMAGES["test"], 10_000, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    Archive(LABELS["test"], 10_000, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)


def difference(path: Path, size: int, sha256: str) -> str:
    """How a file differs from what is recorded of it; empty if it does not.

    The size is compared first, so that a file of the wrong size is never read.

    Raises:
        MissingResourceError: it is not there or cannot be read.
    """
    try:
        found = path.stat().st_size
        if found != size:
            return f"has {found} bytes instead of {size}"
        digest = sha256_file(path)
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise MissingResourceError(str(path), what, "a readable file", "correct its permissions") from error
    return "" if digest == sha256 else f"has sha256 {digest}"
