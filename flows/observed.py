"""Running work as a Prefect flow run, attached to the parent flow's where there is one."""

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol
from uuid import UUID, uuid4

from flows.artifacts import progress_shown
from tasks.errors import MissingResourceError, PipelineError

logger = logging.getLogger(__name__)
PARENT = "PIPELINE_PARENT_FLOW_RUN_ID"
"""Environment variable that names the flow run under which stages appear as sub-flows."""

HEARTBEAT = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
"""Environment variable by which a user has flow runs send heartbeats."""

ENDINGS = ("Crash detected!", "Encountered exception during", "Finished in state Failed", "Task run failed with")
"""How Prefect's lines on a failure begin; on the terminal the error's own line stands alone."""


class Job(Protocol):
    """Work that can be observed."""

    @property
    def name(self) -> str:
        """The flow's name."""

    @property
    def label(self) -> str:
        """The run's name."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The run's parameters, as shown."""

    def run(self) -> None:
        """Do the work."""


class _Outcome:
    """What became of the work itself, apart from what became of its observation."""

    done = False
    error: BaseException | None = None


def run_job(job: Job, mode: str, address: str | None, ephemeral: bool = False) -> None:
    """Do some work, in a Prefect flow run where one is wanted and can be had.

    Args:
        job: what to do.
        mode: ``auto``, ``on`` or ``off``; see :func:`flows.environment.prefect_mode`.
        address: a server that answers, or None.
        ephemeral: with ``auto`` and no server, start one for the time of the work.

    Raises:
        MissingResourceError: ``mode`` is ``on`` and Prefect cannot run.
    """
    configured = os.environ.pop("PREFECT_API_URL", None)  # if it does not answer, nothing may wait for it
    if not address and mode == "on" and configured:
        raise MissingResourceError(configured, "no Prefect server answers", "a running server", "start it: make ui")
    if not address and (mode == "on" or (mode == "auto" and ephemeral)):
        address = _own_server(insist=mode == "on")
    if not address:
        job.run()
        return
    with served_by(address):
        run_observed(job, insist=mode == "on")


@contextmanager
def served_by(address: str) -> Iterator[None]:
    """Have Prefect and child processes use a server; the variable alone comes late where Prefect is imported already.

    Args:
        address: the server's API address.
    """
    os.environ["PREFECT_API_URL"] = address
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    settings: dict[Any, Any] = {PREFECT_API_URL: address}
    if PARENT in os.environ and HEARTBEAT not in os.environ:  # to end them takes up to a second; see crash_lost_runs
        settings[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
    with temporary_settings(settings):
        yield


def _own_server(insist: bool) -> str | None:
    from flows.temporary_server import start_temporary_server

    try:
        return start_temporary_server()
    except MissingResourceError as error:
        if insist:
            raise
        logger.warning("warning: %s; going on without", error)
        return None


def run_observed(job: Job, insist: bool) -> None:
    """Do some work inside a flow run.

    The work counts, not its observation: where Prefect fails after the work is done, a warning is all; where it fails
    before, the work is done without it unless ``insist`` says otherwise.

    Args:
        job: what to do.
        insist: fail where no flow run can be had.

    Raises:
        MissingResourceError: ``insist`` is set and Prefect cannot start the flow run.
    """
    outcome = _Outcome()
    try:
        _run_flow(job, outcome)
    except Exception as error:
        if outcome.error is not None:
            raise outcome.error from None
        if outcome.done:
            logger.warning("warning: Prefect was lost (%s) after the work was done", type(error).__name__)
        elif insist:
            what = f"cannot run the flow ({type(error).__name__})"
            raise MissingResourceError("Prefect", what, "a server", "set PIPELINE_PREFECT=off") from error
        else:
            logger.warning("warning: Prefect does not take the run (%s); going on without", type(error).__name__)
            job.run()


def current_flow_run() -> tuple[str, str]:
    """Address of the Prefect server in use, which may be this process's own, and the id of the present flow run."""
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        return str(client.api_url).rstrip("/"), str(flow_run.get_id())


def crash_lost_runs() -> None:
    """Have Prefect call those sub-flows of the present flow run crashed whose processes went without a word.

    To be called when no stage is running any more. Where Prefect cannot be told, nothing happens.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
    from prefect.client.schemas.objects import State
    from prefect.states import Crashed

    with suppress(Exception), get_client(sync_client=True) as client:
        own = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[UUID(current_flow_run()[1])]))
        for run in client.read_flow_runs(flow_run_filter=own):
            if run.state is None or not run.state.is_final():
                state: State[Any] = Crashed(message="The stage's process ended without a word, as when it is killed.")
                client.set_flow_run_state(run.id, state, force=True)


def _run_flow(job: Job, outcome: _Outcome) -> None:
    from prefect import flow
    from prefect.flow_engine import run_flow

    _shorten_errors()
    job_flow = flow(name=job.name, flow_run_name=job.label, validate_parameters=False)(_body(job, outcome))
    parent = os.environ.get(PARENT)
    attached = _attached_run(job_flow, job, UUID(parent)) if parent else None
    run_flow(job_flow, flow_run=attached, parameters=job.arguments)


def _shorten_errors() -> None:
    """Have Prefect log what one line explains, our errors and lost connections, without a traceback, and not here."""
    import httpx

    def shorten(entry: logging.LogRecord) -> bool:
        if entry.exc_info and isinstance(entry.exc_info[1], PipelineError | httpx.HTTPError):
            entry.exc_info = entry.exc_text = None
        return True

    def without_endings(entry: logging.LogRecord) -> bool:
        return bool(entry.exc_info) or not entry.getMessage().startswith(ENDINGS)

    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(shorten)
    for handler in logging.getLogger().handlers:
        handler.addFilter(without_endings)


def _attached_run(job_flow: Any, job: Job, parent: UUID) -> Any:
    """A flow run under a placeholder task run of its own in the parent, as Prefect makes for its own sub-flows."""
    from prefect import Task
    from prefect.client.orchestration import get_client
    from prefect.states import Pending

    with get_client(sync_client=True) as client:
        place: Any = Task(fn=job_flow.fn, name=job.label)
        task_run = client.create_task_run(place, parent, dynamic_key=str(uuid4()), name=job.label, state=Pending())
        return client.create_flow_run(
            job_flow, name=job.label, parameters=job.arguments, parent_task_run_id=task_run.id, state=Pending()
        )


def _body(job: Job, outcome: _Outcome) -> Callable[..., None]:
    """The work as a function that a flow can be made of, noting how it ended."""

    def body(*_: Any, **__: Any) -> None:
        try:
            with progress_shown():
                job.run()
        except BaseException as error:
            outcome.error = error
            raise
        outcome.done = True

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in job.arguments]
    vars(body)["__signature__"] = inspect.Signature(parameters)
    return body
