"""Processes that train together take the steps that one would take, and leave a state that one can go on from."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from models.diffusion import Draw
from models.training import Batch
from tasks.config import PARAMS
from tasks.errors import ConfigError, MissingResourceError, PipelineError, StoppedError
from tasks.files import read_json
from tasks.paths import metrics_file
from tasks.ranks import Ranks, joined_ranks, rank_of_environment
from tasks.strict_yaml import read_mapping
from tasks.train import assist_training, run_training
from tasks.variants import Variant
from tests.patience import PATIENCE
from tests.tasks.small_variants import CPU, SEED, STUDENT, VARIANTS
from tests.tasks.test_train import Recorder, SignalAt, poison_newest_checkpoint

ROOT = Path(__file__).parents[2]
STEPS = 60


def batch(images: int) -> Batch:
    rows = torch.arange(float(images))
    eps = rows.view(-1, 1, 1, 1).expand(-1, 1, 28, 28)
    draw = Draw(rows + 3.0, eps + 4.0)
    return Batch(eps + 1.0, rows.long(), rows + 2.0, draw, seed=7, image_seeds=rows.long() + 5)


def test_the_shares_are_the_batch_dealt_out() -> None:
    whole = batch(6)
    shares = [Ranks(rank, 3).share(whole) for rank in range(3)]
    for part in ("x0", "labels", "keep", "image_seeds"):
        torch.testing.assert_close(torch.cat([getattr(share, part) for share in shares]), getattr(whole, part))
    for part in ("level", "eps"):
        torch.testing.assert_close(
            torch.cat([getattr(share.draw, part) for share in shares]), getattr(whole.draw, part)
        )
    assert len({share.seed for share in shares}) == 3  # or dropout would hide the same places in every share
    assert Ranks().share(whole).seed == whole.seed
    assert Ranks().share(whole).x0.shape == whole.x0.shape


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"WORLD_SIZE: is 4; expected a divisor of 6 images; do change training\.batch"
    ):
        Ranks(0, 4).share(batch(6))


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert rank_of_environment() == Ranks(0, 1)
    assert Ranks().leads
    assert not Ranks(1, 2).leads


@pytest.mark.parametrize(("device", "expected"), [("cuda", ["GPU 1", "nccl", "left"]), ("cpu", ["gloo", "left"])])
def test_a_process_takes_the_gpu_of_its_number_on_its_machine(
    device: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sixth of eight, which is the second on the second machine."""
    for name, value in (("RANK", "5"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    events: list[str] = []
    monkeypatch.setattr("torch.cuda.set_device", lambda number: events.append(f"GPU {number}"))
    monkeypatch.setattr("torch.distributed.init_process_group", events.append)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: events.append("left"))
    with joined_ranks(torch.device(device)) as ranks:
        assert ranks == Ranks(5, 8)
        assert "left" not in events
    assert events == expected


PROGRAM = textwrap.dedent(
    f"""
    import os, pathlib, sys
    sys.path.insert(0, {str(ROOT)!r})
    pathlib.Path("process-" + os.environ["RANK"]).write_text(str(os.getpid()))
    from tests.tasks import test_ranks
    getattr(test_ranks, sys.argv[1])(*sys.argv[2:])
    """
)


def take_part(name: str, variant: str, seeds: str = "one seed") -> None:
    """Train as one of the processes of ``torchrun``, and leave what went wrong in a file."""
    ranks = rank_of_environment()
    work = run_training if ranks.leads else assist_training
    try:
        work(name, longer(variant), CPU, SEED if seeds == "one seed" else SEED + ranks.rank)
    except PipelineError as error:
        Path(f"error-{ranks.rank}").write_text(f"{error.exit_code} {error}")
        raise


def agree() -> None:
    """As one of the processes of ``torchrun``: take the leader's model, then go on from another step than the other."""
    with joined_ranks(torch.device("cpu")) as ranks:
        model = nn.BatchNorm1d(2)
        for tensor in model.state_dict().values():
            tensor.fill_(ranks.rank + 3)
        ranks.agree(model, step=7)
        Path(f"agreed-{ranks.rank}").write_text(str([tensor.tolist() for tensor in model.state_dict().values()]))
        try:
            ranks.agree(model, step=ranks.rank)
        except MissingResourceError as error:
            Path(f"error-{ranks.rank}").write_text(f"{error.exit_code} {error}")


def longer(name: str) -> Variant:
    variant = {**VARIANTS, "student": STUDENT}[name]
    return replace(variant, training=replace(variant.training, steps=STEPS, checkpoint_every=4, log_every=1))


def torchrun(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen([*launcher, *arguments], env={**os.environ, **environment})


def pair_of(work: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Two processes that call a function of this file."""
    Path("program.py").write_text(PROGRAM, encoding="utf-8")
    return torchrun("program.py", work, *arguments)


def exit_code(pair: subprocess.Popen[bytes]) -> int:
    """How it ends; a pair that does not end by itself is ended, and fails the test."""
    try:
        return pair.wait(PATIENCE)
    finally:
        pair.terminate()


def wait_for_checkpoint(pair: subprocess.Popen[bytes], step: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not any(Path(".work/together").glob(f"*/step-{step:07d}.json")):
        assert pair.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)


def history(name: str) -> pd.DataFrame:
    return pd.read_csv(f"artifacts/{name}/history.csv").drop(columns="seconds")


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["course", "flagship", "student"])
def test_two_processes_leave_the_history_of_one(variant: str, workspace: Path) -> None:
    assert exit_code(pair_of("take_part", "together", variant)) == 0
    assert read_json(metrics_file("train", "together"))["processes"] == [2]
    assert run_training("together", longer(variant), CPU, SEED)["processes"] == [2]  # it takes no step
    assert run_training("alone", longer(variant), CPU, SEED)["processes"] == [1]
    pd.testing.assert_frame_equal(history("together"), history("alone"), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_what_two_processes_began_one_ends(workspace: Path) -> None:
    pair = pair_of("take_part", "together", "flagship")
    wait_for_checkpoint(pair, 12)
    for process in Path().glob("process-*"):
        os.kill(int(process.read_text()), signal.SIGKILL)
    assert exit_code(pair) == 1
    assert run_training("together", longer("flagship"), CPU, SEED)["processes"] == [2, 1]
    run_training("alone", longer("flagship"), CPU, SEED)
    pd.testing.assert_frame_equal(history("together"), history("alone"), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_processes_that_were_asked_for_different_trainings_all_refuse(workspace: Path) -> None:
    assert exit_code(pair_of("take_part", "together", "course", "a seed each")) == 1
    told = [Path(f"error-{rank}").read_text() for rank in range(2)]
    assert told[0] == told[1]
    assert told[0].startswith("2 params.yaml: parameters or code lead to different trainings in different processes;")
    assert not Path("artifacts").exists()


@pytest.mark.slow
def test_where_a_shared_training_diverges_the_leader_alone_says_so(workspace: Path) -> None:
    with pytest.raises(StoppedError):
        run_training("together", longer("course"), CPU, SEED, SignalAt(6, signal.SIGTERM))
    poison_newest_checkpoint(Path(".work/together"))
    assert exit_code(pair_of("take_part", "together", "course")) == 1
    assert Path("error-0").read_text().startswith("5 training together: diverged at step 7: loss is nan")
    assert not Path("error-1").exists()


@pytest.mark.slow
@pytest.mark.parametrize("told", ["all", "assistant"])
def test_a_signal_to_any_process_stops_both_after_saving(told: str, workspace: Path) -> None:
    pair = pair_of("take_part", "together", "course")
    wait_for_checkpoint(pair, 12)
    if told == "all":
        pair.terminate()  # torchrun passes it on
    else:
        os.kill(int(Path("process-1").read_text()), signal.SIGTERM)
    assert exit_code(pair) != 0
    told_by_leader = re.fullmatch(
        r"143 training: stopped by signal 15; .*/step-(\d+)\.safetensors", Path("error-0").read_text()
    )
    assert told_by_leader
    assert not Path("error-1").exists()
    sink = Recorder()
    assert run_training("together", longer("course"), CPU, SEED, sink)["processes"] == [2, 1]
    assert sink.steps == list(range(int(told_by_leader[1]) + 1, STEPS + 1))


@pytest.mark.slow
def test_processes_take_the_leaders_model_and_refuse_to_go_on_from_different_steps(workspace: Path) -> None:
    assert exit_code(pair_of("agree")) == 0
    agreed = [Path(f"agreed-{rank}").read_text() for rank in range(2)]
    assert agreed == [str([[3.0, 3.0]] * 4 + [3])] * 2
    told = [Path(f"error-{rank}").read_text() for rank in range(2)]
    assert told[0] == told[1]
    assert told[0].startswith("4 .work: holds other checkpoints for some of the processes; expected one folder")


def small_params() -> dict[str, Any]:
    """The project's parameters, with a course's training of seconds."""
    content = read_mapping(ROOT / PARAMS)
    content["compute"].update(device="cpu", threads=1, precision="float32")
    course = content["variants"]["course"]
    course["network"].update(channels=[8, 16, 16], time_features=8)
    course["training"].update(steps=6, batch=16, log_every=1, validate_every=3, validation_images=20, snapshots=2)
    return content


@pytest.mark.slow
def test_torchrun_starts_the_stage_in_several_processes_of_which_one_writes(workspace: Path) -> None:
    """A second that led too would find the stage's lock taken."""
    Path(PARAMS).write_text(json.dumps(small_params()))
    settings = {"PYTHONPATH": str(ROOT), "PIPELINE_PREFECT": "off", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    assert exit_code(torchrun("-m", "flows.train", "course", **settings)) == 0
    assert read_json(metrics_file("train", "course"))["processes"] == [2]
