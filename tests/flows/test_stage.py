"""The wrapper of every stage: what it checks first, how it uses Prefect, and how it ends."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import stage as wrapper
from flows.artifacts import artifact_key, in_flow_run, show_table
from flows.environment import answers, prefect_mode, prepare_environment
from flows.observed import PARENT, crash_lost_runs
from flows.stage import call, guarded, run_stage, single_writer
from flows.temporary_server import start_temporary_server
from tasks.errors import (
    ConfigError,
    DivergedError,
    IntegrityError,
    MissingResourceError,
    StoppedError,
    TryAgainError,
)
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
prefect_warnings = pytest.mark.filterwarnings("default:::prefect", "default::ResourceWarning")


def fetch() -> None:
    """A stage that leaves no record."""
    seen.append(in_flow_run())


seen: list[Any] = []


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    seen.clear()


def run_module(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "PYTHONPATH": str(ROOT), "PIPELINE_PREFECT": "off", **environment}
    command = [sys.executable, "-X", "importtime", "-m", *arguments]
    return subprocess.run(command, env=known, capture_output=True, text=True, check=False, timeout=60)


def own_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if not line.startswith("import time:")]


@pytest.mark.parametrize(
    ("arguments", "content", "expected"),
    [
        (["flows.fetch"], "seed: x\n", "error: params.yaml"),
        (["flows.fetch"], "seed: 1\nseed: 2\n", "error: params.yaml"),
        (["flows.train", "nope"], None, "error: variants: has no 'nope'"),
        (["flows.train"], None, "error: command line: the following arguments are required: variant"),
        (["flows.fetch", "--fast"], None, "error: command line: unrecognized arguments: --fast"),
        (["flows.reconcile"], "seed: x\n", "error: params.yaml"),
        (["flows.reconcile", "--profile", "nope"], None, "error: --profile: got 'nope'"),
        (["flows.services", "begin"], None, "error: command line: argument command: invalid choice: 'begin'"),
    ],
)
def test_bad_input_is_one_line_and_code_2_before_anything_slow_is_imported(
    arguments: list[str], content: str | None, expected: str
) -> None:
    if content is not None:
        Path("params.yaml").write_text(content)
    done = run_module(*arguments)
    (line,) = own_lines(done)
    assert line.startswith(expected)
    assert done.returncode == 2
    imported = {entry.rpartition("|")[2].strip() for entry in done.stderr.splitlines()}
    assert "tasks.errors" in imported
    assert imported.isdisjoint({"torch", "prefect", "numpy", "pandas", "mlflow"})
    assert not Path(".work").exists()


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ConfigError("a", "b", "c", "d"), 2),
        (IntegrityError("a", "b", "c", "d"), 3),
        (MissingResourceError("a", "b", "c", "d"), 4),
        (DivergedError("a", "b", "c", "d"), 5),
        (TryAgainError("a", "b", "c", "d"), 75),
        (StoppedError(signal.SIGTERM, "training", "here"), 143),
        (KeyboardInterrupt(), 130),
        (RuntimeError("one\ntwo"), 1),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    error: BaseException, exit_code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    assert guarded(work, debug=False) == exit_code
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")


def test_debug_shows_where_it_happened(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise RuntimeError("deep inside")

    assert guarded(work, debug=True) == 1
    assert "Traceback" in capfd.readouterr().err


def test_success_is_code_0() -> None:
    assert guarded(lambda: None, debug=False) == 0


def test_a_mode_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PREFECT", "maybe")
    with pytest.raises(ConfigError, match="PIPELINE_PREFECT: got 'maybe'; expected auto, on or off"):
        prefect_mode()


def test_off_never_asks_whether_a_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PREFECT", "off")
    monkeypatch.setattr(wrapper, "reachable_prefect", lambda: pytest.fail("asked"))
    run_stage(fetch)
    assert seen == [False]


def closed_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/api"


def test_auto_goes_on_without_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", closed_address())
    start = time.monotonic()
    run_stage(fetch)
    assert seen == [False]
    assert time.monotonic() - start < PATIENCE


def test_auto_waits_shortly_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.getsockname()[1]}/api")
        start = time.monotonic()
        run_stage(fetch)
        assert time.monotonic() - start < PATIENCE
    assert seen == [False]


def test_on_insists_on_the_server_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PREFECT", "on")
    monkeypatch.setenv("PREFECT_API_URL", closed_address())
    with pytest.raises(MissingResourceError, match="no Prefect server answers"):
        run_stage(fetch)
    assert not seen


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/", "nonsense", ""])
def test_only_web_addresses_are_asked(address: str) -> None:
    assert not answers(address)


def hold(path: Path, held: Any, release: Any) -> None:
    os.chdir(path)
    with single_writer("fetch"):
        held.set()
        release.wait(30)


def test_a_stage_that_runs_elsewhere_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PREFECT", "off")
    monkeypatch.setattr(wrapper, "LOCK_SECONDS", 0.1)
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(30)
    with pytest.raises(TryAgainError, match="is held by another process"):
        run_stage(fetch)
    release.set()
    other.join()
    run_stage(fetch)
    assert seen == [False]


def test_a_stage_ends_with_the_process_that_started_it() -> None:
    child = "from flows.environment import die_with_parent; die_with_parent(); print(1, flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    process.kill()
    # The pipe closes when the child, which holds its other end too, is gone; a child that lives on times out here
    assert process.communicate(timeout=10.0)[0] == b""


def test_outside_a_flow_run_a_task_is_its_function_and_artifacts_are_nothing() -> None:
    class Task:
        @staticmethod
        def fn(number: int) -> int:
            return number + 1

    assert call(Task(), 1) == 2
    show_table("key", [{"a": 1}], "nothing happens")


@pytest.mark.parametrize(
    ("text", "key"), [("CLIP, Ankle boot!", "clip-ankle-boot"), ("a_b", "a-b"), ("--x--", "x"), ("Ünder", "nder")]
)
def test_artifact_keys_are_what_prefect_accepts(text: str, key: str) -> None:
    assert artifact_key(text) == key


def test_private_folders_and_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "a run that all stages would write into")
    prepare_environment()
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert "MLFLOW_RUN_ID" not in os.environ
    assert Path(".work").stat().st_mode & 0o777 == 0o700


@pytest.fixture(scope="module")
def server(prefect_home: Path) -> Iterator[str]:
    """A Prefect server for the tests that need one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("PREFECT_HOME", str(prefect_home))
        address = start_temporary_server()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: address}):
        yield address


def flow_runs(name: str) -> list[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [run for run in client.read_flow_runs() if run.name == name]


def staged(work: Callable[[], None], name: str) -> Callable[[], None]:
    def function() -> None:
        work()

    function.__name__ = name
    return function


@prefect_warnings
def test_with_a_server_a_stage_is_a_flow_run(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server)
    run_stage(fetch)
    assert seen == [True]
    (run,) = flow_runs("fetch")
    assert run.state.is_completed()


@prefect_warnings
def test_a_stage_is_a_sub_flow_of_the_run_that_the_environment_names(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
    from prefect.runtime import flow_run
    from prefect.settings import get_current_settings

    monkeypatch.setenv("PREFECT_API_URL", server)
    found: list[str] = []
    heartbeats: list[int | None] = []

    @flow(name="parent")
    def parent() -> None:
        found.append(str(flow_run.get_id()))

    parent()
    monkeypatch.setenv(PARENT, found[0])
    run_stage(staged(lambda: heartbeats.append(get_current_settings().flows.heartbeat_frequency), "prepare"))
    run_stage(staged(lambda: None, "report"))
    assert heartbeats == [None]  # they would hold up the end of each stage
    with get_client(sync_client=True) as client:
        within = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[found[0]]))
        children = client.read_flow_runs(flow_run_filter=within)
    assert {run.name for run in children} == {"prepare", "report"}
    assert len({run.parent_task_run_id for run in children}) == 2
    assert all(run.state.is_completed() for run in children)


@prefect_warnings
def test_a_sub_flow_whose_process_was_killed_is_called_crashed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import flow
    from prefect.runtime import flow_run

    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    killed = """
import os, signal
from flows.stage import run_stage
def scorer():
    os.kill(os.getpid(), signal.SIGKILL)
run_stage(scorer)
"""

    @flow(name="lossy")
    def lossy() -> None:
        monkeypatch.setenv(PARENT, str(flow_run.get_id()))
        run_stage(staged(lambda: None, "critic"))
        done = subprocess.run([sys.executable, "-c", killed], capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert [run.state.is_running() for run in flow_runs("scorer")] == [True]
        crash_lost_runs()

    lossy()
    assert [run.state.is_crashed() for run in flow_runs("scorer")] == [True]
    assert [run.state.is_completed() for run in flow_runs("critic")] == [True]


@prefect_warnings
def test_a_stage_that_fails_raises_its_own_error_and_fails_its_flow_run(
    server: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise IntegrityError("file", "is damaged", "a whole one", "fetch it again")

    monkeypatch.setenv("PREFECT_API_URL", server)
    with pytest.raises(IntegrityError, match="file: is damaged"):
        run_stage(staged(fail, "figures"))
    (run,) = flow_runs("figures")
    assert run.state.is_failed()
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    assert "Finished in state" not in shown


@prefect_warnings
def test_a_server_lost_after_the_work_is_a_warning(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import prefect.flow_engine

    def lose(flow: Any, parameters: dict[str, Any], **_: Any) -> None:
        flow.fn(**parameters)
        raise RuntimeError("connection lost")

    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.setattr(prefect.flow_engine, "run_flow", lose)
    run_stage(fetch)
    assert seen == [False]
    assert "Prefect was lost (RuntimeError) after the work was done" in caplog.text


@prefect_warnings
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_server_lost_before_the_work_matters_only_to_who_insists(
    server: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import prefect.flow_engine

    def lose(*_: Any, **__: Any) -> None:
        raise RuntimeError("connection lost")

    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.setenv("PIPELINE_PREFECT", mode)
    monkeypatch.setattr(prefect.flow_engine, "run_flow", lose)
    if mode == "on":
        with pytest.raises(MissingResourceError, match="cannot run the flow"):
            run_stage(fetch)
    else:
        run_stage(fetch)
    assert seen == ([False] if mode == "auto" else [])


@prefect_warnings
def test_the_server_that_answers_is_used_by_a_prefect_that_was_imported_before(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", server)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert get_current_settings().api.url is None
        run_stage(staged(lambda: seen.append(get_current_settings().api.url), "evaluate"))
    assert seen == [server]
