"""Which precision is chosen, and that the choice is made once."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from models.build import build_diffusion
from models.layers import Float32GroupNorm
from models.priors import images_shown
from models.spec import EdmSpec
from tasks.errors import TryAgainError
from tasks.files import read_json, write_json
from tasks.locks import LOCKS, locked
from tasks.params import Compute
from tasks.paths import WORKSPACE_MARK
from tasks.precision import autocast, bfloat16_gain, chosen_precision, processor
from tests.patience import PATIENCE
from tests.tasks.small_variants import VARIANTS

DEVICE = torch.device("cpu")
AUTO = Compute(device="cpu", threads=1, precision="auto", compile=False)
MACHINE = f"torch {torch.__version__} on {processor()}"
CHOICE = Path(".work/precision.json")
LOCK = LOCKS / "precision.lock"


def measured(monkeypatch: pytest.MonkeyPatch, gain: float) -> list[float]:
    """Let trials find this gain; the list grows with each."""
    trials: list[float] = []

    def find() -> float:
        trials.append(gain)
        return gain

    monkeypatch.setattr("tasks.precision.bfloat16_gain", find)
    return trials


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_the_user_asks_for_is_not_measured(
    precision: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = measured(monkeypatch, 2.0)
    asked: Literal["float32", "bfloat16"] = "float32" if precision == "float32" else "bfloat16"
    compute = Compute(device="cpu", threads=1, precision=asked, compile=False)
    assert chosen_precision(compute, DEVICE) == precision
    assert not trials
    assert not CHOICE.exists()


@pytest.mark.parametrize(
    ("gain", "expected"), [(1.3, "bfloat16"), (1.1, "bfloat16"), (1.09, "float32"), (0.01, "float32")]
)
def test_auto_takes_what_pays_and_keeps_to_it(
    gain: float, expected: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, gain)
    assert chosen_precision(AUTO, DEVICE) == expected
    trials = measured(monkeypatch, 1.0 / gain)
    assert chosen_precision(AUTO, DEVICE) == expected
    assert not trials
    assert read_json(CHOICE) == {"flagship_block_gain": {MACHINE: gain}}
    assert autocast(AUTO, DEVICE)._enabled == (expected == "bfloat16")


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_on_a_gpu_is_bfloat16_where_that_is_not_emulated(
    native: bool, expected: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    trials = measured(monkeypatch, 2.0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert chosen_precision(AUTO, torch.device("cuda")) == expected
    assert not trials
    assert not CHOICE.exists()


@pytest.mark.parametrize("known", [f"torch 1.0 on {processor()}", f"torch {torch.__version__} on another"])
def test_another_machine_measures_for_itself_and_each_keeps_its_own(
    known: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folder may be shared by machines; none may take a precision from another, nor lose its own."""
    write_json(CHOICE, {"flagship_block_gain": {known: 3.0}})
    assert measured(monkeypatch, 0.8) == []
    assert chosen_precision(AUTO, DEVICE) == "float32"
    assert read_json(CHOICE) == {"flagship_block_gain": {known: 3.0, MACHINE: 0.8}}


def test_the_number_of_threads_changes_no_choice(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 1.5)
    assert chosen_precision(AUTO, DEVICE) == "bfloat16"
    assert measured(monkeypatch, 0.5) == []
    assert chosen_precision(replace(AUTO, threads=2), DEVICE) == "bfloat16"


@pytest.mark.parametrize(
    "text", ['{"machine": ', '{"flagship_block_gain": 1.2, "machine": {}}', '{"flagship_block_gain": {"a": "b"}}']
)
def test_a_damaged_choice_is_made_anew(text: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CHOICE.parent.mkdir(parents=True, exist_ok=True)
    CHOICE.write_text(text)
    measured(monkeypatch, 1.5)
    assert chosen_precision(AUTO, DEVICE) == "bfloat16"
    assert read_json(CHOICE)["flagship_block_gain"] == {MACHINE: 1.5}


def test_nobody_else_can_measure_meanwhile(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> float:
        with pytest.raises(TryAgainError, match=r"precision\.lock: is held by another process"), locked(LOCK, 0.0):
            pass
        return 1.5

    monkeypatch.setattr("tasks.precision.bfloat16_gain", find)
    assert chosen_precision(AUTO, DEVICE) == "bfloat16"
    with locked(LOCK, 0.0):  # free again
        pass


def test_a_build_that_starts_beside_another_waits_for_its_measurement(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials, found = measured(monkeypatch, 0.5), []
    second = threading.Thread(target=lambda: found.append(chosen_precision(AUTO, DEVICE)))
    with locked(LOCK, 0.0):
        second.start()
        write_json(CHOICE, {"flagship_block_gain": {MACHINE: 1.5}})
    second.join(PATIENCE)
    assert found == ["bfloat16"]
    assert not trials


def test_a_profile_keeps_to_the_choice_of_its_project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise results of both precisions could meet in one report, by way of the shared cache."""
    measured(monkeypatch, 1.5)
    assert chosen_precision(AUTO, DEVICE) == "bfloat16"
    profile = workspace / "builds" / "full"
    write_json(profile / WORKSPACE_MARK, {"project": str(workspace)})
    monkeypatch.chdir(profile)
    trials = measured(monkeypatch, 0.5)
    assert chosen_precision(AUTO, DEVICE) == "bfloat16"
    assert not trials


def test_a_processor_is_told_by_its_name_and_its_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = tmp_path / "cpuinfo"
    monkeypatch.setattr("tasks.precision.CPUINFO", facts)
    facts.write_text("model name\t: Some CPU\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16\n")
    assert processor() == "Some CPU amx_bf16 avx512_bf16"
    facts.write_text("model name\t: Some CPU\nflags\t\t: fpu avx512f\n")
    assert processor() == "Some CPU"
    facts.unlink()
    assert processor()


def test_a_trial_measures_both_and_leaves_global_randomness_alone() -> None:
    state = torch.random.get_rng_state()
    assert 0.0 < bfloat16_gain() < 100.0
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("exact", "rounded", "gain", "trials"), [(0.03, 0.02, 1.5, 26), (0.1, 5.0, 0.02, 4)])
def test_a_trial_ends_early_where_bfloat16_is_hopeless(
    exact: float, rounded: float, gain: float, trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []

    def seconds(_block: object, _x: object, bfloat16: bool) -> float:
        seen.append((bfloat16, torch.get_num_threads()))
        return rounded if bfloat16 else exact

    monkeypatch.setattr("tasks.precision._seconds_of_trial", seconds)
    threads = torch.get_num_threads()
    assert bfloat16_gain() == pytest.approx(gain)
    assert len(seen) == trials
    assert {count for _, count in seen} == {1}
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("variant", VARIANTS)
def test_networks_answer_in_bfloat16_as_in_float32_but_for_its_digits(variant: str) -> None:
    """Bfloat16 has 8 significant bits; attention and the course's normalisation stay in float32."""
    spec = VARIANTS[variant]
    network = build_diffusion(spec.network, spec.process, seed=1).network.eval()
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        if not parameter.any():  # what starts at zero would hide the rest
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    shown = images_shown(spec.process) if isinstance(spec.process, EdmSpec) else 1
    x, level = torch.randn(8, shown, 28, 28, generator=generator), torch.rand(8, generator=generator)
    seen: list[tuple[bool, torch.dtype]] = []
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.GroupNorm)):
        norm.register_forward_hook(lambda layer, _, out: seen.append((isinstance(layer, Float32GroupNorm), out.dtype)))
    with torch.no_grad():
        exact = network(x, level, torch.arange(8), torch.ones(8))
        seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(x, level, torch.arange(8), torch.ones(8))
    assert rounded.dtype == torch.bfloat16
    whole = variant == "course"
    assert set(seen) == {(whole, torch.float32 if whole else torch.bfloat16)}
    error = (rounded.float() - exact).square().mean().sqrt() / exact.std()
    assert 0.0 < error < 0.02
