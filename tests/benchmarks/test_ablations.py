"""Arms change what they say and nothing else, and are compared training by training."""

import itertools
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from benchmarks.ablations import Trained, figures_of, mean_gap, page
from benchmarks.arms import ARMS, Arm, paired_within_class
from benchmarks.contenders import Setup
from models.diffusion import Draw
from models.training import Batch
from tasks.config import PARAMS, load_params
from tasks.evaluate import run_evaluation
from tasks.sample import run_sampling
from tasks.train import run_training
from tests.benchmarks.test_growth import SAMPLE, SETUP
from tests.tasks.small_critic import EVALUATE, ROOT, fit_small_critic
from tests.tasks.small_variants import CPU, FLAGSHIP, SEED

SPEC = load_params(ROOT / PARAMS).variants["flagship"]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_an_arm_changes_what_it_says_alone(arm: Arm) -> None:
    changed, plain = asdict(arm.of(SPEC)), asdict(SPEC)
    for group, values in arm.changes.items():
        for key, value in values.items():
            assert plain[group][key] != value
            plain[group][key] = value
    assert changed == plain


def test_arms_have_names_of_their_own() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)


def test_noise_is_paired_within_a_class_at_the_least_total_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(8, 1, 28, 28, generator=generator) for _ in range(2))
    labels = torch.tensor([0, 1, 0, 1, 0, 2, 1, 0])
    batch = Batch(x0, labels, torch.ones(8), Draw(torch.ones(8), eps), 0)
    (found,) = paired_within_class(iter([batch]))
    for label in (0, 1, 2):
        mine = (labels == label).nonzero().flatten()
        given = [eps[mine][list(order)] for order in itertools.permutations(range(len(mine)))]
        best = min((x0[mine] - noise).square().sum().item() for noise in given)
        assert (x0[mine] - found.draw.eps[mine]).square().sum().item() == pytest.approx(best)
        assert {row.sum().item() for row in found.draw.eps[mine]} == {row.sum().item() for row in eps[mine]}
    assert not torch.equal(found.draw.eps, eps)
    assert found.x0 is batch.x0


def test_the_flagship_as_it_is_has_the_figures_of_its_stages(workspace: Path) -> None:
    fit_small_critic()
    run_training("flagship", FLAGSHIP, CPU, SEED)
    run_sampling("flagship", FLAGSHIP, SAMPLE, CPU, SEED)
    judged = run_evaluation("flagship", EVALUATE, CPU, SEED)
    found = figures_of(SETUP, ARMS[0], 100)
    assert found == pytest.approx(
        {"fid": judged["fid"], "accuracy": judged["accuracy"]["value"], "recall": judged["recall"]}
    )
    paired = next(arm for arm in ARMS if arm.arrange)
    assert figures_of(SETUP, paired, 100)["fid"] != found["fid"]


def test_another_repeat_is_another_training(workspace: Path) -> None:
    fit_small_critic()

    def again(repeat: int) -> Setup:
        spec = replace(FLAGSHIP, training=replace(FLAGSHIP.training, repeat=repeat))
        return replace(SETUP, params=replace(SETUP.params, variants={"flagship": spec}))

    assert figures_of(again(0), ARMS[0], 100) == figures_of(SETUP, ARMS[0], 100) != figures_of(again(1), ARMS[0], 100)


def test_differences_are_taken_pair_by_pair() -> None:
    """Three differences of mean 1 and deviation 1: half the interval is t(0.975; 2) / sqrt(3)."""
    assert (
        mean_gap([0.0, 1.0, 2.0]) == f"+1.00 ({1 - 4.302653 / math.sqrt(3):+.2f} to {1 + 4.302653 / math.sqrt(3):+.2f})"
    )
    assert mean_gap([0.5]) == "+0.50"
    assert mean_gap([]) == ""


def test_the_table_has_a_row_for_each_arm_that_came_to_something() -> None:
    def of(arm: str, *fids: float) -> list[Trained]:
        return [Trained(arm, n, {"fid": fid, "accuracy": 0.9, "recall": 0.8}) for n, fid in enumerate(fids)]

    text = page([*of(ARMS[0].name, 2.0, 3.0), *of(ARMS[1].name, 4.0, 5.0)], 500)
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert rows == [
        "| as it is | 2 | 2.50 |  | 0.900 | 0.800 |",
        f"| {ARMS[1].name} | 2 | 4.50 | +2.00 (+2.00 to +2.00) | 0.900 | 0.800 |",
    ]
    assert max(map(len, text.splitlines())) <= 120
