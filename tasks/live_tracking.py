"""Training figures in MLflow while they come in, sent by a thread of its own that training never waits for."""

import logging
import queue
import threading

from tasks.metrics import Figures
from tasks.records import Point, beginning, history_points, record
from tasks.tracking import WRITING, Writer, open_store

logger = logging.getLogger(__name__)
SEND_SECONDS = 3.0
CLOSE_SECONDS = 3.0
WAITING_ROWS = 10_000


class MlflowSink:
    """A :class:`tasks.metrics.MetricSink` that sends what it is given every few seconds.

    What does not get through is not lost: the history file holds it, and it is written when the stage ends or by
    ``python -m flows.reconcile``.

    Args:
        variant: the variant being trained.
    """

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._rows: queue.Queue[tuple[Figures, int]] = queue.Queue(maxsize=WAITING_ROWS)
        self._closing, self._abandoned = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-sink", daemon=True)
        self._thread.start()

    def log(self, row: Figures, step: int) -> None:
        """Take the figures of a step; dropped if thousands are waiting already."""
        try:
            self._rows.put_nowait((row, step))
        except queue.Full:
            self._abandoned.set()

    def close(self) -> None:
        """Send what is waiting, for at most :data:`CLOSE_SECONDS`."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        self._abandoned.set()

    def _run(self) -> None:
        try:
            self._send_until_closed()
        except Exception as error:  # a mirror that cannot be written must not stop training
            text = " ".join(str(error).split())[:200]
            logger.warning("warning: MLflow takes no live figures (%s); they are written when the stage ends", text)

    def _send_until_closed(self) -> None:
        begun = beginning("train", self._variant)
        with WRITING:
            if self._closing.is_set():
                return
            writer = Writer(*open_store())
            runs = writer.begin(record("train", self._variant, begun, finished=False))
        run_ids = [run.info.run_id for run in runs]
        while not self._abandoned.is_set():
            last = self._closing.wait(SEND_SECONDS)
            points = self._waiting()
            if points:
                with WRITING:
                    if not self._abandoned.is_set():
                        writer.add_live(run_ids, points)
            if last:
                return

    def _waiting(self) -> list[Point]:
        points: list[Point] = []
        while not self._rows.empty():
            points += history_points(*self._rows.get_nowait())
        return points
