"""Compiled networks answer as before, and every network can be compiled whole."""

import copy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.build import build_network
from models.layers import conv3x3, group_norm
from models.priors import images_shown
from models.spec import EdmSpec
from tasks.compilation import COMPILED, ON_A_GPU, compile_network
from tasks.errors import MissingResourceError
from tests.tasks.small_variants import VARIANTS


def inputs(images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, images, 28, 28, generator=generator)
    return x, torch.rand(4, generator=generator), torch.arange(4), torch.tensor([1.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize("name", list(VARIANTS))
def test_a_network_is_one_graph_to_the_compiler(name: str) -> None:
    """It would come back to Python at whatever it cannot trace, and with ``fullgraph`` it refuses that."""
    process = VARIANTS[name].process
    network = build_network(VARIANTS[name].network, process)
    given = inputs(images_shown(process) if isinstance(process, EdmSpec) else 1)
    whole = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(*given), network(*given))


@pytest.mark.parametrize(("device", "variable", "usual"), [("cpu", "CXX", "g\\+\\+"), ("cuda", "CC", "gcc or clang")])
def test_without_a_compiler_of_c_nothing_is_compiled(
    device: str, variable: str, usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(
        MissingResourceError, match=f"^compute.compile: {usual} is not installed; expected {usual}; do "
    ):
        compile_network(nn.Identity(), torch.device(device))
    monkeypatch.setenv(variable, "no-such-compiler")
    with pytest.raises(MissingResourceError, match="no-such-compiler is not installed") as caught:
        compile_network(nn.Identity(), torch.device(device))
    assert caught.value.exit_code == 4


class Asked(nn.Module):
    """Notes how it is to be compiled."""

    def compile(self, **options: Any) -> None:
        self.options = options


@pytest.mark.parametrize(("device", "variable", "options"), [("cpu", "CXX", None), ("cuda", "CC", ON_A_GPU)])
def test_a_gpu_is_given_whole_graphs_and_one_layout(
    device: str, variable: str, options: dict[str, bool] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv(variable, sys.executable)
    network = Asked()
    compile_network(network, torch.device(device))
    assert network.options == {"dynamic": False, "options": options}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler needs a C++ compiler")
def test_compiled_kernels_answer_alike_and_are_kept_in_the_project(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = nn.Sequential(conv3x3(4, 8), group_norm(8, 8), nn.SiLU())
    compiled = copy.deepcopy(plain)
    compile_network(compiled, torch.device("cpu"))
    x = inputs(4)[0]
    for network in (plain, compiled):
        answer = network(x)
        with torch.no_grad():  # as a validation does between steps
            network(2.0 * x)
        torch.autograd.backward(answer.square().sum())
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for ours, theirs in zip(compiled.parameters(), plain.parameters(), strict=True):
        assert theirs.grad is not None
        largest = theirs.grad.abs().max().item()  # sums of thousands of terms that cancel are off by a share of these
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0.0, atol=1e-4 * largest)
    assert any((workspace / COMPILED).rglob("*.cpp"))
