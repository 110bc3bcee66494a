"""The server that a build starts where none runs: out of Ctrl-C's reach, and gone with the build."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flows.temporary_server
from flows.environment import answers, prepare_environment
from flows.observed import run_job
from flows.stage import Stage
from tasks.errors import MissingResourceError
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
BUILD = """
import signal
from flows.environment import prepare_environment
prepare_environment()
from flows.temporary_server import start_temporary_server
print(start_temporary_server(), flush=True)
signal.pause()
"""


@pytest.fixture
def build(prefect_home: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    known = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(prefect_home)}
    with subprocess.Popen(
        [sys.executable, "-c", BUILD], cwd=tmp_path, env=known, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_it_answers_in_a_session_of_its_own_and_ends_with_its_build(build: "subprocess.Popen[str]") -> None:
    assert build.stdout is not None
    address = build.stdout.readline().strip()
    assert answers(f"{address}/health", PATIENCE)
    (server,) = map(int, Path(f"/proc/{build.pid}/task/{build.pid}/children").read_text().split())
    assert os.getsid(server) == server
    build.kill()
    # The pipe closes when the server, which holds its other end too, is gone; one that lives on times out here
    assert build.communicate(timeout=PATIENCE)[0] == ""
    assert not answers(f"{address}/health")


def test_without_it_only_who_insists_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise MissingResourceError("Prefect", "its server does not come up", "a server", "leave it out")

    done: list[str] = []

    def fetch() -> None:
        done.append("fetch")

    monkeypatch.chdir(tmp_path)
    prepare_environment()
    monkeypatch.setattr(flows.temporary_server, "start_temporary_server", refuse)
    with pytest.raises(MissingResourceError, match="its server does not come up"):
        run_job(Stage(fetch, None), "on", None)
    assert done == []
    run_job(Stage(fetch, None), "auto", None, ephemeral=True)
    assert done == ["fetch"]
