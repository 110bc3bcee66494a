"""Showing what a stage made in MLflow and linking the two interfaces, whatever way the stage ended."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.artifacts import in_flow_run, show_link
from flows.environment import MLFLOW_PORT, service_address
from tasks.errors import StoppedError

if TYPE_CHECKING:
    from tasks.records import Beginning

logger = logging.getLogger(__name__)
AFTERWARDS = "PIPELINE_MIRROR_AFTERWARDS"
"""Environment variable by which the parent flow says that it will write the records itself, all in one go."""


@contextmanager
def mirrored(stage: str, variant: str | None) -> Iterator[None]:
    """Publish the stage to MLflow when the block ends, with its true status; a tracking outage costs one warning.

    Args:
        stage: the stage's name.
        variant: the variant's name, or None.
    """
    from tasks.records import RECORDED, beginning

    if stage not in RECORDED:
        yield
        return
    try:
        begun = beginning(stage, variant)
    except Exception as error:
        _warn(stage, error)
        yield
        return
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except (StoppedError, KeyboardInterrupt):
        status = "KILLED"
        raise
    except BaseException as error:
        status = "KILLED" if getattr(error, "signal", None) in (signal.SIGTERM, signal.SIGINT) else "FAILED"
        raise
    finally:
        try:
            _publish(stage, variant, status, begun)
        except Exception as error:  # the mirror has no say in how a stage ends
            _warn(stage, error)


def _publish(stage: str, variant: str | None, status: str, begun: "Beginning") -> None:
    from tasks.records import note_run
    from tasks.tracking import publish

    if os.environ.get(AFTERWARDS) and stage != "train" and status == "FINISHED":
        note_run(stage, variant, begun, finished=True, tags=_flow_run())
        return
    place = publish(stage, variant, status, _flow_run(), begun)
    if place:
        show_link(f"mlflow-{stage}-{variant or 'run'}", f"{mlflow_address()}/{place}", "The same run in MLflow")


def _warn(stage: str, error: Exception) -> None:
    logger.warning("warning: %s left no record (%s)", stage, " ".join(f"{type(error).__name__}: {error}".split()))


def mlflow_address() -> str:
    """Where the MLflow interface is: the tracking server, else the one started here, else where it would be."""
    configured = os.environ.get("MLFLOW_TRACKING_URI", "")
    if configured.startswith("http"):
        return configured.rstrip("/")
    return service_address("mlflow") or f"http://127.0.0.1:{MLFLOW_PORT}"


def _flow_run() -> dict[str, str]:
    """Tags that lead from MLflow back to the flow run."""
    if not in_flow_run():
        return {}
    from prefect.runtime import flow_run

    return {"prefect.flow_run_id": str(flow_run.id), "prefect.flow_run_url": str(flow_run.ui_url or "")}
