"""The environment that every process of the pipeline runs in: private folders, no telemetry, short waits for servers.

Set in one place, before any of the tools is imported; what the user has set stands.
"""

import atexit
import gc
import json
import logging
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tasks.errors import ConfigError
from tasks.paths import WORK, project_root

OWN_LOGGERS = ("flows", "tasks", "models")
MODES = ("auto", "on", "off")
SERVICES = WORK / "services"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
PROBE_SECONDS = 1.5
PRIVATE = 0o700
COLLECT_AFTER = 20_000
"""Objects to be created before Python looks for garbage again, instead of 700: libraries make a million on import."""


def prepare_environment() -> None:
    """Set the variables that Prefect, MLflow, DVC and matplotlib read when they are imported, and load them faster."""
    collect_garbage_rarely()
    root = project_root()
    work = root / WORK
    for folder in (work, WORK):
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        folder.chmod(PRIVATE)
    for name, value in _settings(root, work).items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)  # it would make every stage write into one run


def _settings(root: Path, work: Path) -> dict[str, str]:
    return {
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_PYTHON_REFRESH": "quiet",
        # Threads that wait for each other must soon sleep: spinning, two processes that share two cores slow each other
        # down tenfold. Too soon, they lose where nothing else runs: in two rounds of three, a training step with 2,000
        # turns took a fifth longer than with 7,000 or 12,000. Two trainings at once in float32 take a fifth longer with
        # 8,000 than with 2,000.
        "GOMP_SPINCOUNT": "8000",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MPLCONFIGDIR": str(work / "matplotlib"),
        "PREFECT_CLIENT_MAX_RETRIES": "1",
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(OWN_LOGGERS),
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",  # flows/temporary_server.py starts one that outlives Ctrl-C
    }


def collect_garbage_rarely() -> None:
    """Spare each process two seconds in which Python looks for garbage among what the libraries keep anyway.

    It would look a thousand times while they are imported, and once more, through all of it, at the end.
    """
    gc.set_threshold(COLLECT_AFTER)
    atexit.register(gc.freeze)


def log_to_stderr() -> None:
    """Show what the project itself has to say, and of the libraries only warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda entry: entry.levelno >= logging.WARNING or entry.name.startswith(OWN_LOGGERS))
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


def prefect_mode() -> str:
    """How far Prefect is used: ``PIPELINE_PREFECT`` is ``auto`` (the default), ``on`` or ``off``.

    Raises:
        ConfigError: it is something else.
    """
    mode = os.environ.get("PIPELINE_PREFECT", "auto")
    if mode not in MODES:
        raise ConfigError("PIPELINE_PREFECT", f"got {mode!r}", "auto, on or off", "correct the variable")
    return mode


def reachable_prefect() -> str | None:
    """The address of a Prefect server that answers, or None.

    ``PREFECT_API_URL`` decides where it is set; else the server that ``python -m flows.services up`` started.
    """
    address = os.environ.get("PREFECT_API_URL") or service_address("prefect", "/api")
    return address if address and answers(f"{address}/health") else None


def service_address(name: str, suffix: str = "") -> str | None:
    """Where a server started by :mod:`flows.services` was told to listen, or None."""
    record = project_root() / SERVICES / f"{name}.json"
    try:
        return f"{json.loads(record.read_bytes())['address']}{suffix}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def answers(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether an address answers a GET request with success within a time."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:  # noqa: S310 - the scheme was checked
            return bool(200 <= response.status < 300)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def die_with_parent() -> None:
    """Have Linux end this process when the one that started it dies, so that no orphan goes on writing."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
