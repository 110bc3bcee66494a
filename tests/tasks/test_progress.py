"""Progress passes items through, tells observers, and suits its reader."""

import io
import logging

import pytest

from tasks import progress
from tasks.progress import forget, observe, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_items_pass_and_observers_hear_of_each() -> None:
    heard: list[tuple[str, int, int]] = []

    def observer(title: str, done: int, total: int) -> None:
        heard.append((title, done, total))

    observe(observer)
    try:
        assert list(track("cd", 4, "letters", done=2)) == ["c", "d"]
    finally:
        forget(observer)
    assert list(track("ab", 2, "letters")) == ["a", "b"]
    assert heard == [("letters", 3, 4), ("letters", 4, 4)]


def test_away_from_a_terminal_there_are_plain_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        list(track(range(3), 3, "counting"))
    assert [line.split(",")[0] for line in caplog.messages] == [f"counting: {n} of 3" for n in (1, 2, 3)]


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("sys.stdout", terminal)
    list(track(range(3), 3, "counting"))
    assert "counting" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


@pytest.mark.parametrize(
    ("rate", "said"), [(4.21, "4.2/s"), (1.0, "1.0/s"), (0.2, "5.0 s each"), (0.04, "25.0 s each")]
)
def test_a_slow_pace_is_told_in_seconds(rate: float, said: str) -> None:
    assert progress.pace(rate) == said
