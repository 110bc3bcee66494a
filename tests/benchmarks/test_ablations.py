"""Arms change what they say and nothing else, and are compared training by training."""

import itertools
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from benchmarks import ablations
from benchmarks.ablations import Conditions, Size, Trained, figures_of, mean_gap, page
from benchmarks.arms import (
    ARMS,
    Arm,
    averaged_targets,
    paired_within_class,
    told_at,
)
from benchmarks.contenders import Setup
from benchmarks.own import Own
from flows.stage import single_builder
from models.diffusion import Draw
from models.edm_unet import EdmUNet
from models.spec import EdmUNetSpec
from models.training import Batch
from tasks.config import PARAMS, load_params
from tasks.errors import ConfigError, MissingResourceError, TryAgainError
from tasks.evaluate import run_evaluation
from tasks.files import write_text
from tasks.judge import WEIGHTS
from tasks.sample import run_sampling
from tasks.train import run_training
from tasks.variants import Variant
from tests.benchmarks.test_growth import SAMPLE, SETUP
from tests.tasks.small_critic import EVALUATE, ROOT, fit_small_critic
from tests.tasks.small_variants import CPU, FLAGSHIP, SEED

HERE = Conditions(Size(500, 0.5), 1, "a machine", "c0de", "c1a0")
SPEC = load_params(ROOT / PARAMS).variants["flagship"]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_an_arm_changes_what_it_says_alone(arm: Arm) -> None:
    changed, plain = asdict(arm.of(SPEC)), asdict(SPEC)
    for group, values in arm.changes.items():
        for key, value in values.items():
            assert plain[group][key] != value
            plain[group][key] = value
    assert changed == plain


@pytest.mark.parametrize(
    ("name", "images"), [("batches of 32, twice the steps", 1.0), ("half as many steps again", 1.5)]
)
def test_an_arm_with_other_steps_sees_as_many_images_as_it_says(name: str, images: float) -> None:
    arm = next(arm for arm in ARMS if arm.name == name)
    changed, plain = arm.of(SPEC).training, SPEC.training
    assert changed.steps * changed.batch == images * plain.steps * plain.batch


def test_arms_have_names_of_their_own() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)


def no_images(label: int) -> Tensor:
    raise AssertionError(f"class {label} was asked for")


def test_targets_are_the_mean_of_what_may_be_behind_the_noise() -> None:
    """The noisy images stay; the target is the image itself in no noise, and the class's mean where noise hides all."""
    generator = torch.Generator().manual_seed(0)
    training = {label: torch.randn(20, 784, generator=generator) for label in (1, 3)}
    labels, sigma = torch.tensor([1, 3, 3, 1]), torch.tensor([1e-3, 1e4, 2.0, 2.0])
    x0 = torch.stack([training[label][place] for place, label in enumerate(labels.tolist())]).view(4, 1, 28, 28)
    eps, keep = torch.randn(4, 1, 28, 28, generator=generator), torch.tensor([1.0, 1.0, 1.0, 0.0])
    batch = Batch(x0, labels, keep, Draw(sigma, eps), 0, labels)
    (found,) = averaged_targets(iter([batch]), training.__getitem__)
    level = sigma.view(-1, 1, 1, 1)
    assert_close(found.x0 + level * found.draw.eps, x0 + level * eps, rtol=1e-5, atol=1e-4)
    assert_close(found.x0[0], x0[0])
    assert_close(found.x0[1].flatten(), training[3].mean(dim=0), atol=5e-3, rtol=0.0)
    x = (x0 + level * eps)[2].flatten().double()
    weights = torch.exp(-(x - training[3].double()).square().sum(dim=1) / (2.0 * 2.0**2))
    assert_close(found.x0[2].flatten().double(), weights @ training[3].double() / weights.sum(), rtol=1e-3, atol=1e-3)
    assert torch.equal(found.x0[3], x0[3])
    assert torch.equal(found.draw.eps[3], eps[3])


def test_noise_is_paired_within_a_class_at_the_least_total_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(8, 1, 28, 28, generator=generator) for _ in range(2))
    labels = torch.tensor([0, 1, 0, 1, 0, 2, 1, 0])
    batch = Batch(x0, labels, torch.ones(8), Draw(torch.ones(8), eps), 0, labels)
    (found,) = paired_within_class(iter([batch]), no_images)
    for label in (0, 1, 2):
        mine = (labels == label).nonzero().flatten()
        given = [eps[mine][list(order)] for order in itertools.permutations(range(len(mine)))]
        best = min((x0[mine] - noise).square().sum().item() for noise in given)
        assert (x0[mine] - found.draw.eps[mine]).square().sum().item() == pytest.approx(best)
        assert {row.sum().item() for row in found.draw.eps[mine]} == {row.sum().item() for row in eps[mine]}
    assert not torch.equal(found.draw.eps, eps)
    assert found.x0 is batch.x0


def small_network() -> EdmUNet:
    """A network that answers something, since all that starts at zero is drawn."""
    torch.manual_seed(0)
    network = EdmUNet(
        EdmUNetSpec(kind="edm_unet", patch=2, channels=(16, 16), blocks=(1, 1), heads=2, embedding=8, dropout=0.0)
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network.eval()


def answer_of(network: EdmUNet, label: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 1, 28, 28, generator=generator)
    answer: Tensor = network(x, torch.zeros(2), torch.full((2,), label), torch.ones(2))
    return answer


def test_a_network_told_everywhere_is_the_same_and_one_told_nowhere_ignores_the_class() -> None:
    plain, everywhere, nowhere = (small_network() for _ in range(3))
    told_at(0, 1, 2, 3)(everywhere)
    told_at()(nowhere)
    assert torch.equal(answer_of(everywhere), answer_of(plain))
    assert torch.equal(answer_of(nowhere, 3), answer_of(nowhere, 4))
    assert not torch.equal(answer_of(plain, 3), answer_of(plain, 4))


@pytest.mark.parametrize(("stages", "told"), [((1, 2), [0, 1, 1, 0]), ((0, 3), [1, 0, 0, 1])])
def test_the_named_stages_are_told(stages: tuple[int, ...], told: list[int]) -> None:
    network = small_network()
    told_at(*stages)(network)
    spoken = network.modulation(torch.zeros(2), torch.tensor([1, 2]), torch.ones(2))
    assert [int(stage[0].any()) for stage in spoken] == told


def judged_by_critic(setup: Setup, arm: Arm) -> dict[str, float]:
    own = Own(setup, "flagship", arm)
    while own.step(0.0):
        pass
    return figures_of(own, setup, 100)


def test_an_arm_is_compared_with_one_that_differs_in_one_part() -> None:
    """In one group of settings at most, and in all others not at all; batches or network may differ instead."""
    arms = {arm.name: arm for arm in ARMS}
    for arm in ARMS:
        mine, its = asdict(arm.of(SPEC)), asdict(arms[arm.beside].of(SPEC))
        otherwise = [arm.arrange is not None, arm.rewire is not None]
        assert sum(otherwise + [mine[group] != its[group] for group in mine]) == (arm.name != arm.beside)


def test_the_flagship_as_it_is_has_the_figures_of_its_stages(workspace: Path) -> None:
    fit_small_critic()
    run_training("flagship", FLAGSHIP, CPU, SEED)
    run_sampling("flagship", FLAGSHIP, SAMPLE, CPU, SEED)
    judged = run_evaluation("flagship", EVALUATE, CPU, SEED)
    found = judged_by_critic(SETUP, ARMS[0])
    assert found == pytest.approx(
        {"fid": judged["fid"], "accuracy": judged["accuracy"]["value"], "recall": judged["recall"]}
    )
    others = [judged_by_critic(SETUP, arm)["fid"] for arm in ARMS if arm.arrange or arm.rewire]
    assert len({found["fid"], *others}) == 5


def test_another_repeat_is_another_training(workspace: Path) -> None:
    fit_small_critic()

    def again(repeat: int) -> Setup:
        spec = replace(FLAGSHIP, training=replace(FLAGSHIP.training, repeat=repeat))
        return replace(SETUP, params=replace(SETUP.params, variants={"flagship": spec}))

    first, plain, second = (judged_by_critic(setup, ARMS[0]) for setup in (again(0), SETUP, again(1)))
    assert first == plain != second


def test_differences_are_taken_pair_by_pair() -> None:
    """Three differences of mean 1 and deviation 1: half the interval is t(0.975; 2) / sqrt(3)."""
    assert (
        mean_gap([0.0, 1.0, 2.0]) == f"+1.00 ({1 - 4.302653 / math.sqrt(3):+.2f} to {1 + 4.302653 / math.sqrt(3):+.2f})"
    )
    assert mean_gap([0.5]) == "+0.50"
    assert mean_gap([]) == ""


def test_the_table_has_a_row_for_each_arm_that_came_to_something() -> None:
    def of(arm: str, *fids: float) -> list[Trained]:
        judged = {"accuracy": 0.9, "recall": 0.8}
        return [Trained(arm, n, 70.0, 4, {"fid": fid, **judged}) for n, fid in enumerate(fids)]

    plain, _, noise, wide = (arm.name for arm in ARMS[:4])
    text = page([*of(plain, 2.0, 3.0), *of(noise, 4.0, 5.0), *of(wide, 3.5, 4.5)], HERE)
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert rows == [
        "| as it is | 2 | 70 | 4 | 2.50 |  |  | 0.900 | 0.800 |",
        f"| {noise} | 2 | 70 | 4 | 4.50 | as it is | +2.00 (+2.00 to +2.00) | 0.900 | 0.800 |",
        f"| {wide} | 2 | 70 | 4 | 4.00 | {noise} | -0.50 (-0.50 to -0.50) | 0.900 | 0.800 |",
    ]
    assert max(len(line) for line in text.splitlines() if line not in rows) <= 120
    assert "trainings of 50% of their steps, 500 images each" in " ".join(text.split())
    assert text.endswith("\na machine, code c0de, critic c1a0.\n")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A folder with parameters and something in the critic's place, and two arms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablations, "RESULTS", tmp_path / "ABLATIONS.md")
    monkeypatch.setattr(ablations, "ARMS", ARMS[:2])
    monkeypatch.setattr(ablations, "prepare_environment", lambda: None)
    write_text(WEIGHTS, "a critic")
    write_text(PARAMS, (ROOT / PARAMS).read_text())
    return monkeypatch


def well_trained(arm: int, repeat: int) -> Trained:
    return Trained(ARMS[arm].name, repeat, 70.0, 4, {"fid": 2.0, "accuracy": 0.9, "recall": 0.8})


def test_a_run_that_was_ended_goes_on_and_is_added_to(build: pytest.MonkeyPatch) -> None:
    """A training that came to something is not made again; one that failed is."""
    made: list[tuple[int, int]] = []

    def in_a_process(arm: int, repeat: int, _: Size) -> Trained | None:
        made.append((arm, repeat))
        return well_trained(arm, repeat) if len(made) != 2 else None

    build.setattr(ablations, "in_a_process", in_a_process)
    for repeats, wanted in ((1, [(0, 0), (1, 0)]), (1, [(1, 0)]), (2, [(0, 1), (1, 1)])):
        made_before = len(made)
        build.setattr(sys, "argv", ["ablations", "--repeats", str(repeats)])
        ablations.main()
        assert made[made_before:] == wanted
    assert "| as it is | 2 | 70 |" in ablations.RESULTS.read_text()


def test_arms_that_another_critic_judges_stand_in_no_table_with_those_before(build: pytest.MonkeyPatch) -> None:
    """The training during which it changed is not kept, and one that ran before is made anew."""
    made: list[int] = []

    def in_a_process(arm: int, repeat: int, _: Size) -> Trained:
        made.append(arm)
        if len(made) == 2:
            write_text(WEIGHTS, "another critic")
        return well_trained(arm, repeat)

    build.setattr(ablations, "in_a_process", in_a_process)
    build.setattr(sys, "argv", ["ablations", "--repeats", "1"])
    with pytest.raises(TryAgainError, match=r"critic changed while arms were trained; .*; do run it again"):
        ablations.main()
    assert f"| {ARMS[1].name} |" not in ablations.RESULTS.read_text()
    ablations.main()
    assert made == [0, 1, 0, 1]


def test_no_build_runs_beside_the_trainings(build: pytest.MonkeyPatch) -> None:
    build.setattr(sys, "argv", ["ablations"])
    build.setattr("flows.stage.LOCK_SECONDS", 0.0)
    with single_builder(None), pytest.raises(TryAgainError, match="is held by another process"):
        ablations.main()


def test_a_folder_without_a_critic_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablations, "prepare_environment", lambda: None)
    monkeypatch.setattr(sys, "argv", ["ablations"])
    with pytest.raises(MissingResourceError, match=r"artifacts/critic/model.safetensors"):
        ablations.main()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--images", "90"),
        ("--images", "105"),
        ("--images", "10010"),
        ("--share", "0.0"),
        ("--share", "1.5"),
        ("--repeats", "0"),
        ("--workers", "0"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ablations", option, value])
    with pytest.raises(ConfigError, match=f"{option}: is out of range"):
        ablations.main()


def test_a_share_of_the_steps_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the flagship's and of those of an arm that says how many, and of the warm-up; all else stays."""
    seen: list[Variant] = []
    monkeypatch.setattr(ablations, "load_params", lambda: load_params(ROOT / PARAMS))
    monkeypatch.setattr(ablations, "setup_of", lambda params: SimpleNamespace(params=params))
    monkeypatch.setattr(ablations, "Own", lambda *_: SimpleNamespace(step=lambda _: False))
    monkeypatch.setattr(
        ablations, "figures_of", lambda _, setup, __: seen.append(setup.params.variant("flagship")) or {}
    )
    longer = next(arm for arm in ARMS if arm.changes.get("training", {}).get("steps", 0) > SPEC.training.steps)
    for arm in (ARMS[0], longer):
        ablations.trained(arm, 2, Size(100, 0.25))
    steps = [longer.changes["training"]["steps"], SPEC.training.steps]
    assert [spec.training.steps for spec in seen] == [steps[1] // 4, steps[0] // 4]
    training = replace(SPEC.training, steps=steps[1] // 4, warmup_steps=SPEC.training.warmup_steps // 4, repeat=2)
    assert seen[0] == replace(SPEC, training=training)
