"""Where the tracking store is, whether it can be used now, and who writes to it; without MLflow itself."""

import json
import os
import sqlite3
from pathlib import Path
from urllib.request import urlopen

from tasks.paths import WORKSPACE_MARK, project_root

EXPERIMENT = "fashion-diffusion"
PROBE_SECONDS = 1.5
SQLITE = "sqlite:///"
STORE = "mlflow.db"


class TrackingError(Exception):
    """The tracking store cannot be used now."""


def tracking_address() -> str:
    """``MLFLOW_TRACKING_URI``, else the SQLite file in the project's root, whatever the current folder is."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_store()


def local_store() -> str:
    """Address of the SQLite file in the project's root."""
    return f"{SQLITE}{project_root() / STORE}?timeout=2"


def experiment_name() -> str:
    """One experiment for the project, and one for each profile."""
    profile = _profile()
    return f"{EXPERIMENT}-{profile}" if profile else EXPERIMENT


def reconcile_command() -> str:
    """What a user runs in the project's folder to complete the records of the build in the current one."""
    profile = _profile()
    return f"python -m flows.reconcile{f' --profile {profile}' if profile else ''}"


def _profile() -> str | None:
    return json.loads(WORKSPACE_MARK.read_bytes()).get("profile") if WORKSPACE_MARK.is_file() else None


def sqlite_file(address: str) -> Path | None:
    """The file behind a SQLite address, or None for any other address."""
    return Path(address.removeprefix(SQLITE).partition("?")[0]) if address.startswith(SQLITE) else None


def probe(address: str) -> None:
    """Find out in :data:`PROBE_SECONDS` whether the store can be written.

    Raises:
        TrackingError: it cannot.
    """
    try:
        if address.startswith(("http://", "https://")):
            urlopen(f"{address.rstrip('/')}/health", timeout=PROBE_SECONDS).close()  # noqa: S310 - the scheme was checked
        elif path := sqlite_file(address):
            _try_to_write(path)
    except (OSError, sqlite3.Error, ValueError) as error:
        raise TrackingError(f"no answer: {error}") from error


def _try_to_write(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=PROBE_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    finally:
        connection.close()


def is_gone(process: str) -> bool:
    """Whether a process of this machine has ended; nothing is said of other machines."""
    machine, _, number = process.rpartition(":")
    if machine != os.uname().nodename or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def process_name() -> str:
    """This process, so that a run left open by a dead one can be told from a run under way."""
    return f"{os.uname().nodename}:{os.getpid()}"
