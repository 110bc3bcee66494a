"""What a stage shows in Prefect: tables, notes, links and its progress. Outside a flow run nothing happens.

Nothing here can fail or hold up a stage: after the first refusal by the server, the rest is left out.
"""

import contextvars
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
PROGRESS_SECONDS = 5.0
CLOSE_SECONDS = 3.0
_lost = threading.Event()


def in_flow_run() -> bool:
    """Whether this code runs inside a Prefect flow run; Prefect is not imported to find out."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None


def artifact_key(text: str) -> str:
    """A key that Prefect accepts: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show rows as a table."""
    _send(lambda: _prefect().create_table_artifact(list(map(dict, rows)), artifact_key(key), description))


def show_csv(key: str, path: Path, description: str) -> None:
    """Show a CSV table of the report."""
    if in_flow_run():
        from tasks.files import read_table

        rows = [{str(name): value for name, value in row.items()} for row in read_table(path).to_dict("records")]
        show_table(key, rows, description)


def show_metrics(key: str, path: Path, description: str) -> None:
    """Show the single figures of a metrics file, with their intervals, as a table."""
    if in_flow_run():
        from tasks.files import read_json

        content = read_json(path)
        show_table(key, [row for name, value in sorted(content.items()) for row in _figure(name, value)], description)


def show_markdown(key: str, text: str, description: str) -> None:
    """Show a note."""
    _send(lambda: _prefect().create_markdown_artifact(text, artifact_key(key), description))


def show_link(key: str, address: str, description: str) -> None:
    """Show a link."""
    _send(lambda: _prefect().create_link_artifact(address, key=artifact_key(key), description=description))


@contextmanager
def progress_shown() -> Iterator[None]:
    """Show the progress of everything that is tracked inside the block, from a thread of its own."""
    if not in_flow_run():
        yield
        return
    from tasks.progress import forget, observe

    reporter = _Reporter()
    observe(reporter.note)
    try:
        yield
    finally:
        forget(reporter.note)
        reporter.close()


class _Reporter:
    """Sends the latest progress of each title every few seconds, so that the work itself never waits."""

    def __init__(self) -> None:
        self._latest: dict[str, float] = {}
        self._sent: dict[str, tuple[Any, float]] = {}
        self._closing = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
        self._thread.start()

    def note(self, title: str, done: int, total: int) -> None:
        self._latest[title] = 100.0 * done / max(total, 1)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing.wait(PROGRESS_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        for title, percent in list(self._latest.items()):
            identifier, before = self._sent.get(title, (None, -1.0))
            if percent != before:
                self._sent[title] = (_send_progress(title, percent, identifier), percent)


def _figure(name: str, value: Any) -> list[dict[str, Any]]:
    """One row for a number or an interval, none for anything else."""
    if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value):
        return [{"figure": name, **{key: value[key] for key in ("value", "low", "high")}}]
    return [{"figure": name, "value": value}] if isinstance(value, int | float) else []


def _send_progress(title: str, percent: float, identifier: Any) -> Any:
    module = _prefect()
    if identifier is None:
        return _send(lambda: module.create_progress_artifact(percent, artifact_key(f"progress-{title}"), title))
    _send(lambda: module.update_progress_artifact(identifier, percent))
    return identifier


def _send(create: Callable[[], Any]) -> Any:
    if _lost.is_set() or not in_flow_run():
        return None
    try:
        return create()
    except Exception as error:  # whatever the server or its client does, the stage goes on
        _lost.set()
        logger.warning("Prefect takes no artifacts (%s); the stage goes on without them", type(error).__name__)
        return None


def _prefect() -> Any:
    import prefect.artifacts

    return prefect.artifacts
