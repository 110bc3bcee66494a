"""Processes that train together take the steps that one would take, and leave a state that one can go on from."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from models.diffusion import Draw
from models.training import Batch
from tasks.errors import ConfigError, PipelineError, StoppedError
from tasks.files import read_json
from tasks.paths import metrics_file
from tasks.ranks import Ranks, rank_of_environment
from tasks.train import assist_training, run_training
from tasks.variants import Variant
from tests.patience import PATIENCE
from tests.tasks.small_variants import CPU, SEED, VARIANTS
from tests.tasks.test_train import SignalAt, poison_newest_checkpoint

STEPS = 60


def batch(images: int) -> Batch:
    rows = torch.arange(float(images))
    eps = rows.view(-1, 1, 1, 1).expand(-1, 1, 28, 28)
    return Batch(eps + 1.0, rows.long(), rows + 2.0, Draw(rows + 3.0, eps + 4.0), seed=7)


def test_the_shares_are_the_batch_dealt_out() -> None:
    whole = batch(6)
    shares = [Ranks(rank, 3).share(whole) for rank in range(3)]
    for part in ("x0", "labels", "keep"):
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


PROGRAM = textwrap.dedent(
    f"""
    import os, pathlib, sys
    sys.path.insert(0, {str(Path(__file__).parents[2])!r})
    pathlib.Path("process-" + os.environ["RANK"]).write_text(str(os.getpid()))
    from tests.tasks.test_ranks import take_part
    take_part(*sys.argv[1:])
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


def longer(name: str) -> Variant:
    variant = VARIANTS[name]
    return replace(variant, training=replace(variant.training, steps=STEPS, checkpoint_every=4, log_every=1))


def torchrun(*arguments: str) -> subprocess.Popen[bytes]:
    Path("program.py").write_text(PROGRAM, encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen([*launcher, "program.py", *arguments])


def history(name: str) -> pd.DataFrame:
    return pd.read_csv(f"artifacts/{name}/history.csv").drop(columns="seconds")


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["course", "flagship"])
def test_two_processes_leave_the_history_of_one(variant: str, workspace: Path) -> None:
    assert torchrun("together", variant).wait(PATIENCE) == 0
    assert read_json(metrics_file("train", "together"))["processes"] == [2]
    assert run_training("together", longer(variant), CPU, SEED)["processes"] == [2]  # it takes no step
    assert run_training("alone", longer(variant), CPU, SEED)["processes"] == [1]
    pd.testing.assert_frame_equal(history("together"), history("alone"), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_what_two_processes_began_one_ends(workspace: Path) -> None:
    pair = torchrun("together", "flagship")
    deadline = time.monotonic() + PATIENCE
    while not any(Path(".work/together").glob("*/step-0000012.json")):
        assert pair.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    for process in Path().glob("process-*"):
        os.kill(int(process.read_text()), signal.SIGKILL)
    assert pair.wait(PATIENCE) == 1
    assert run_training("together", longer("flagship"), CPU, SEED)["processes"] == [2, 1]
    run_training("alone", longer("flagship"), CPU, SEED)
    pd.testing.assert_frame_equal(history("together"), history("alone"), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_processes_that_were_asked_for_different_trainings_all_refuse(workspace: Path) -> None:
    assert torchrun("together", "course", "a seed each").wait(PATIENCE) == 1
    told = [Path(f"error-{rank}").read_text() for rank in range(2)]
    assert told[0] == told[1]
    assert told[0].startswith("2 params.yaml: parameters or code lead to different trainings in different processes;")
    assert not Path("artifacts").exists()


@pytest.mark.slow
def test_where_a_shared_training_diverges_the_leader_alone_says_so(workspace: Path) -> None:
    with pytest.raises(StoppedError):
        run_training("together", longer("course"), CPU, SEED, SignalAt(6, signal.SIGTERM))
    poison_newest_checkpoint(Path(".work/together"))
    assert torchrun("together", "course").wait(PATIENCE) == 1
    assert Path("error-0").read_text().startswith("5 training together: diverged at step 7: loss is nan")
    assert not Path("error-1").exists()
