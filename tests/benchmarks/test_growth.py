"""What growth and samplers measure is what they say: settings, counts, and images that are those of the stages."""

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import growth
from benchmarks.growth import COST, TrainingCost, image_costs, measured, training_costs, widened
from benchmarks.outcomes import Failure
from benchmarks.samplers import sampler_results
from models.spec import EdmUNetSpec
from tasks.evaluate import run_evaluation
from tasks.params import GuidanceSweep, Sample, Sweep
from tasks.sample import run_sampling
from tasks.train import run_training
from tests.benchmarks.test_contenders import SETUP as PROJECT
from tests.tasks.small_critic import EVALUATE, fit_small_critic
from tests.tasks.small_variants import COURSE, CPU, FLAGSHIP, SEED

SAMPLE = Sample(per_class=10, batch=30, trajectory_per_class=1)
GUIDANCE = GuidanceSweep(scales=(2.0,), sigma=(0.1, 1.0))
SWEEP = Sweep(per_class=10, evaluations=(2,), samplers=("heun",), noise_sigma_max=40.0, guidance=GUIDANCE)
SETUP = replace(PROJECT, params=replace(PROJECT.params, evaluate=EVALUATE, sample=SAMPLE, sweep=SWEEP))


def test_a_width_multiplies_the_channels_to_multiples_of_sixteen() -> None:
    def channels(width: float) -> tuple[int, int]:
        network = widened(replace(FLAGSHIP, network=replace(FLAGSHIP.network, channels=(32, 96))), width).network
        assert isinstance(network, EdmUNetSpec)
        return network.channels

    assert [channels(width) for width in (0.1, 0.5, 1.0, 2.0)] == [(16, 16), (16, 48), (32, 96), (64, 192)]
    with pytest.raises(TypeError, match="flagship's kind of network"):
        widened(COURSE, 2.0)


def test_a_wider_network_and_a_larger_batch_take_more(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "STEPS", 3)
    small, wide, many = (measured(SETUP, batch, width) for batch, width in ((8, 1.0), (8, 2.0), (16, 1.0)))
    assert (small.batch, wide.width, many.batch) == (8, 2.0, 16)
    assert small.parameters == many.parameters < wide.parameters
    work = [cost.gflops * cost.step_ms for cost in (small, wide, many)]
    assert work[2] == pytest.approx(2.0 * work[0], rel=1e-4)
    assert work[1] > 2.0 * work[0]
    assert min(small.step_ms, small.gflops, small.step_memory_mb) > 0.0


def test_a_training_that_ends_too_soon_is_not_timed(workspace: Path) -> None:
    short = replace(FLAGSHIP, training=replace(FLAGSHIP.training, steps=growth.WARM_UP + growth.STEPS - 1))
    setup = replace(SETUP, params=replace(SETUP.params, variants={"flagship": short}))
    with pytest.raises(RuntimeError, match="ends before its cost could be measured"):
        measured(setup, 8, 1.0)


def test_every_batch_and_width_has_its_turn_and_a_failure_costs_no_other_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(command: list[str], **_: object) -> SimpleNamespace:
        batch, width = int(command[-2]), float(command[-1])
        made = TrainingCost(batch, width, 1000, 5.0, 40.0, 900.0)
        return SimpleNamespace(stdout="" if batch == 128 else f"x\n{COST.dump_json(made).decode()}\n", returncode=-9)

    monkeypatch.setattr(subprocess, "run", run)
    found = list(training_costs(48))
    told = [(it.batch, it.width) if isinstance(it, TrainingCost) else it for it in found]
    killed = Failure("training at 128 x 1", "its process ended with code -9")
    assert told == [(16, 1.0), (32, 1.0), (48, 1.0), (64, 1.0), killed, (48, 0.5), (48, 2.0)]


def test_samplers_have_the_figures_of_the_stages(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_small_critic()
    run_training("flagship", FLAGSHIP, CPU, SEED)
    run_sampling("flagship", FLAGSHIP, SAMPLE, CPU, SEED)
    judged = run_evaluation("flagship", EVALUATE, CPU, SEED)
    own, *others = sampler_results(SETUP, 100)
    assert (own.name, own.evaluations) == ("DPM-Solver++(2M)", FLAGSHIP.sampling.steps)
    assert (own.quality.fid.value, own.quality.fid.low) == pytest.approx((judged["fid"], judged["fid_low"]))
    assert own.quality.accuracy.value == judged["accuracy"]["value"]
    assert [(it.name, it.evaluations) for it in others] == [("Heun", 1), ("DPM-Solver++(2M) from noise", 2)]
    monkeypatch.setattr(growth, "COUNTS", (50, 100))
    assert [cost.images for cost in image_costs(SETUP)] == [50, 100]
