"""The parent flow: what it refuses, what it tells its stages, and one whole build."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flows.workspace
from tasks.config import PARAMS, load_params
from tasks.errors import ConfigError, MissingResourceError
from tasks.variants import Variant
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("default:::prefect")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project, so that a build under test leaves nothing behind in the real one, nor any process."""
    root = tmp_path / "project"
    for path in flows.workspace.project_files(ROOT):
        if path.parts[0] not in ("tests", "docs"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes((ROOT / path).read_bytes())
    monkeypatch.chdir(root)
    yield root
    for number in working_below(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)


def program(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "flows.pipeline", *arguments]
    known = {**os.environ, "PIPELINE_PREFECT": "off", **environment}
    return subprocess.Popen(
        command, env=known, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def wait_for(fact: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float) -> None:
    """Wait until something is so, while a process that brings it about is running."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def working_below(folder: Path) -> dict[str, str]:
    """The other processes whose working folder is ``folder`` or lies in it: their numbers and command lines."""
    found = {}
    for place in {*Path("/proc").glob("[0-9]*")} - {Path(f"/proc/{os.getpid()}")}:
        with contextlib.suppress(OSError):  # it ended meanwhile, or belongs to somebody else
            if (place / "cwd").readlink().is_relative_to(folder):
                found[place.name] = (place / "cmdline").read_text().replace("\0", " ")
    return found


@pytest.mark.parametrize(
    "target", ["--force", "train; rm -rf /", "../x", "Train", "figurs", "train@wide", "fetch@course"]
)
def test_a_target_that_is_no_stage_is_refused_with_the_names_of_all(project: Path, target: str) -> None:
    from flows.pipeline import check_request

    with pytest.raises(
        ConfigError, match=r"targets: got .*; expected one of fetch, .* train, train@course, .* report;"
    ):
        check_request(None, [target])


@pytest.mark.parametrize("target", ["fetch", "train", "train@course"])
def test_names_of_stages_are_accepted(project: Path, target: str) -> None:
    from flows.pipeline import check_request

    check_request("demo", [target])


def test_an_absent_gpu_is_one_line_and_nothing_is_built(project: Path) -> None:
    process = program("--profile", "gpu", PIPELINE_PREFECT="on", CUDA_VISIBLE_DEVICES="")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    what = "no GPU is usable; expected a CUDA device; do set it to auto or cpu"
    assert errors.splitlines() == [f"error: profiles/gpu.yaml: compute.device: {what}"]
    assert not (project / "builds").exists()


def test_an_empty_model_folder_is_refused_before_anything_starts(project: Path) -> None:
    from flows.pipeline import check_request

    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("source: fitted", "source: folder"))
    with pytest.raises(MissingResourceError, match=r"clip/open_clip_config\.json: is missing"):
        check_request(None, [])
    check_request(None, ["prepare"])


def test_stages_that_need_no_gpu_are_not_refused_for_its_absence(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.pipeline import check_request

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check_request("gpu", ["fetch", "prepare"])


def test_the_terminal_shows_what_dvc_does_but_not_what_it_advises(capsys: pytest.CaptureFixture[str]) -> None:
    from flows.pipeline import Teller

    advice = ["", "To track the changes with git, run:", "", "\tgit add dvc.lock", "", "To enable auto staging, run:"]
    advice += ["", "\tdvc config core.autostage true", "Use `dvc push` to send your updates to remote storage."]
    tell = Teller()
    for line in ["", "Stage 'fetch' is cached", "", "", "Running stage 'train':", "> python", "ERROR: no", *advice]:
        tell(line)
    assert capsys.readouterr().out == "Stage 'fetch' is cached\n\nRunning stage 'train':\n> python\nERROR: no\n"


def test_the_stages_of_a_whole_build_are_numbered(capsys: pytest.CaptureFixture[str]) -> None:
    from flows.pipeline import Teller, count_stages

    stages = count_stages(ROOT, ["course", "flagship"])
    assert stages == 7 + 5 * 2  # of which five run for each variant
    tell = Teller(stages)
    lines = ["Stage 'fetch' didn't change, skipping", "Running stage 'train@course':", "> python", "Running late"]
    for line in lines:
        tell(line)
    numbered = ["[1/17] Stage 'fetch' didn't change, skipping", "[2/17] Running stage 'train@course':", *lines[2:]]
    assert capsys.readouterr().out.splitlines() == numbered


def test_what_becomes_of_former_variants_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from flows import pipeline

    monkeypatch.setattr(pipeline, "remove_leftovers", lambda *_: {"mine": Path("/aside/mine"), "old": None})
    for name in ("repro", "_reconcile", "show_markdown", "show_link", "mlflow_address"):
        monkeypatch.setattr(pipeline, name, lambda *_: None)
    with caplog.at_level(logging.INFO, "flows.pipeline"):
        pipeline.rebuild(None, [])
    gone = "is no variant of this build any more: its outputs are removed"
    lost, held = f"mine {gone}, what the cache does not hold lies in /aside/mine", f"old {gone}, the cache holds them"
    assert [entry.getMessage() for entry in caplog.records] == [lost, held]


def test_a_line_that_prefect_records_is_shown_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import flows.pipeline

    recorded, terminal = logging.getLogger("recorded"), logging.StreamHandler(sys.stdout)
    entries: list[logging.LogRecord] = []
    recording = logging.Handler()
    monkeypatch.setattr(recording, "emit", entries.append)
    monkeypatch.setattr(recorded, "handlers", [recording])
    monkeypatch.setattr(recorded, "level", logging.INFO)
    monkeypatch.setattr(logging.getLogger(), "handlers", [terminal])
    monkeypatch.setattr(flows.pipeline, "in_flow_run", lambda: True)
    monkeypatch.setattr(flows.pipeline, "get_run_logger", lambda: recorded)
    flows.pipeline.Teller()("Stage 'fetch' is cached")
    assert [entry.getMessage() for entry in entries] == ["Stage 'fetch' is cached"]
    assert capsys.readouterr().out == "Stage 'fetch' is cached\n"


def test_the_time_for_the_records_grows_with_the_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three judges, and five stages a variant."""
    from flows import pipeline

    params = load_params(ROOT / PARAMS)
    copies = {f"copy{number}": params.variants["course"] for number in range(4)}
    allowed = pipeline.reconcile_seconds(replace(params, variants=copies_with_titles(copies)))
    assert allowed == pipeline.RECONCILE_SECONDS + 23 * pipeline.RECONCILE_SECONDS_A_STAGE
    given: list[float] = []
    monkeypatch.setattr(pipeline.subprocess, "run", lambda *_, timeout, **__: given.append(timeout))
    pipeline._reconcile(ROOT, {}, allowed)
    assert given == [allowed]


def copies_with_titles(variants: dict[str, Variant]) -> dict[str, Variant]:
    return {name: replace(spec, title=name) for name, spec in variants.items()}


def test_a_bad_profile_is_one_line_before_any_server_is_started(project: Path) -> None:
    process = program("--profile", "nope", PIPELINE_PREFECT="on")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.splitlines() == ["error: --profile: got 'nope'; expected one of demo, full, gpu; do correct the name"]
    assert not (project / "builds").exists()


def test_the_same_workspace_is_not_rebuilt_twice_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.stage import single_builder

    with single_builder("demo"):
        process = program("--profile", "demo", "fetch")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "pipeline-demo.lock: is held by another process" in errors


@pytest.mark.slow
def test_a_stage_that_fails_gives_the_build_its_exit_code(project: Path) -> None:
    profile = project / "profiles" / "demo.yaml"
    profile.write_text(profile.read_text().replace("source: drawn", "source: archives\n  folders: []\n  mirrors: []"))
    process = program("--profile", "demo", "fetch")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 4
    assert errors.splitlines()[-1].startswith("error: fetch: failed with exit code 4")


@pytest.mark.slow
def test_sigterm_ends_the_stages_too_and_their_work_is_saved(project: Path) -> None:
    profile, run = project / "profiles" / "demo.yaml", project / "builds" / "demo" / ".work" / "course"
    short = "steps: 40, batch: 64, validate_every: 20, checkpoint_every: 20"
    endless = "steps: 1000000, batch: 64, validate_every: 1000000, checkpoint_every: 1000000"
    assert short in profile.read_text()
    profile.write_text(profile.read_text().replace(short, endless))
    process = program("--profile", "demo", "train@course")
    wait_for(lambda: any(file.stat().st_size for file in run.glob("*/journal.jsonl")), process, seconds=180)
    assert any("flows.train course" in command for command in working_below(project).values())
    assert not list(run.glob("*/step-*"))
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "it resumes from .work/course/" in output
    assert working_below(project) == {}
    assert {file.suffix for file in run.glob("*/step-*")} == {".json", ".safetensors"}


@pytest.mark.slow
def test_the_demonstration_is_built_from_nothing_and_then_stands(project: Path) -> None:
    process = program("--profile", "demo", PIPELINE_PREFECT="auto")
    output, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, errors
    reports = project / "builds" / "demo" / "reports"
    assert "[17/17] Running stage 'report':" in output
    assert f"The report: {reports / 'report.html'}" in output
    for suffix in ("html", "pdf", "docx"):
        assert (reports / f"report.{suffix}").stat().st_size > 10_000
    assert completed_runs(project) >= {"pipeline-demo", "fetch", "train-course", "evaluate-flagship", "report"}

    start = time.monotonic()
    again = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=project / "builds" / "demo",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Running stage" not in again.stdout
    assert "Data and pipelines are up to date." in again.stdout
    assert time.monotonic() - start < 15.0


def completed_runs(project: Path) -> set[Any]:
    """Names of the flow runs that the Prefect server of the build knows as completed."""
    import sqlite3

    with sqlite3.connect(project / ".prefect" / "prefect.db") as connection:
        rows = connection.execute("SELECT name FROM flow_run WHERE state_type = 'COMPLETED'").fetchall()
    connection.close()
    return {name for (name,) in rows}
