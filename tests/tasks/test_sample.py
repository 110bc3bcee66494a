"""Samples are balanced, repeat exactly, depend on their own seed alone, and come from unaltered weights."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.build import build_diffusion
from models.diffusion import SampleStep
from models.edm_unet import EdmUNet
from models.spec import CourseUNetSpec
from tasks.compilation import COMPILED
from tasks.errors import IntegrityError, MissingResourceError
from tasks.files import read_arrays, sha256_file
from tasks.params import Compute, Sample
from tasks.precision import autocast
from tasks.sample import Sampling, balanced_requests, blocks, compile_sampling, run_sampling, sample_images
from tasks.train import run_training
from tasks.variants import Variant
from tasks.weights import load_model
from tests.tasks.small_variants import COURSE, CPU, CPU_BFLOAT16, FLAGSHIP, JUMPING, SEED, STUDENT, VARIANTS

DEVICE = torch.device("cpu")
SAMPLE = Sample(per_class=10, batch=40, trajectory_per_class=1)
FARTHER = replace(JUMPING, jump_steps=3)
LEAPING = replace(STUDENT, training=replace(STUDENT.training, distilled=FARTHER), sampling=FARTHER)
"""Taught to take three steps at once, not two."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_samples_are_balanced_and_repeat(variant: str, workspace: Path) -> None:
    spec = VARIANTS[variant]
    run_training(variant, spec, CPU, SEED)
    summary = run_sampling(variant, spec, SAMPLE, CPU, SEED)
    path = Path("artifacts") / variant / "samples.npz"
    samples = read_arrays(path)
    assert samples["images"].shape == (100, 28, 28)
    assert np.bincount(samples["labels"]).tolist() == [10] * 10
    assert len(set(samples["seeds"].tolist())) == 100
    assert summary["num_images"] == 100
    assert (summary["environment"]["device"], summary["environment"]["threads"]) == ("cpu", CPU.threads)
    assert summary["evaluations"] == spec.sampling.steps
    assert summary["pixel_mean"] == pytest.approx(samples["images"].mean() / 255)
    first = sha256_file(path)
    run_sampling(variant, spec, SAMPLE, CPU, SEED)
    assert sha256_file(path) == first


@pytest.mark.parametrize("compute", [CPU, CPU_BFLOAT16], ids=attrgetter("precision"))
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_depends_on_its_seed_alone(variant: str, compute: Compute, workspace: Path) -> None:
    spec = VARIANTS[variant]
    run_training(variant, spec, compute, SEED)
    sampling = Sampling(load_model(variant, spec, DEVICE), spec.sampling, 40, DEVICE, autocast(compute, DEVICE))
    assert_each_depends_on_its_seed(sampling)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler needs a C++ compiler")
@pytest.mark.parametrize("compute", [CPU, CPU_BFLOAT16], ids=attrgetter("precision"))
def test_so_it_does_when_kernels_are_compiled(
    compute: Compute, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(workspace / COMPILED))
    run_training("flagship", FLAGSHIP, compute, SEED)
    model = load_model("flagship", FLAGSHIP, DEVICE)
    sampling = Sampling(model, FLAGSHIP.sampling, 40, DEVICE, autocast(compute, DEVICE))
    compile_sampling(sampling)
    assert_each_depends_on_its_seed(sampling)
    assert any((workspace / COMPILED).rglob("*.cpp"))


def assert_each_depends_on_its_seed(sampling: Sampling) -> None:
    labels, seeds = balanced_requests(4, SEED)
    together = sample_images(sampling, labels, seeds)
    shuffled = np.random.default_rng(0).permutation(40)[:17]
    np.testing.assert_array_equal(sample_images(sampling, labels[shuffled], seeds[shuffled]), together[shuffled])


def test_the_labels_go_where_the_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model, placed = build_diffusion(COURSE.network, COURSE.process, SEED), []

    def sample(_sampler: object, _noise: object, labels: Tensor, *_: object) -> Iterator[SampleStep]:
        placed.append(labels.device.type)
        x = torch.zeros(len(labels), 1, 28, 28)
        yield SampleStep(0, 0, -1.0, x, x)

    monkeypatch.setattr(model, "sample", sample)
    sampling = Sampling(model, COURSE.sampling, 4, torch.device("meta"), autocast(CPU, DEVICE))
    assert sample_images(sampling, np.array([3, 8]), np.array([1, 2])).shape == (2, 28, 28)
    assert placed == ["meta"]


def test_trajectories_go_from_noise_to_the_sample(workspace: Path) -> None:
    run_training("course", COURSE, CPU, SEED)
    run_sampling("course", COURSE, SAMPLE, CPU, SEED)
    paths = read_arrays(Path("artifacts/course/trajectories.npz"))
    samples = read_arrays(Path("artifacts/course/samples.npz"))
    np.testing.assert_allclose(paths["done"], np.linspace(0, 1, 11))
    assert paths["images"].shape == paths["x0"].shape == (11, 10, 28, 28)
    chosen = np.arange(100) % 10 == 0
    np.testing.assert_array_equal(paths["seeds"], samples["seeds"][chosen])
    np.testing.assert_array_equal(paths["images"][-1], samples["images"][chosen])


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Networks that were to be compiled."""
    asked: list[nn.Module] = []

    def compile_network(network: nn.Module, device: torch.device) -> None:
        assert device == DEVICE
        asked.append(network)

    monkeypatch.setattr("tasks.sample.compile_network", compile_network)
    return asked


@pytest.mark.parametrize(("asked", "kinds"), [(True, [EdmUNet, EdmUNet]), (False, [])])
def test_where_it_is_asked_for_the_networks_that_draw_are_compiled(
    asked: bool, kinds: list[type[nn.Module]], compiled: list[nn.Module], workspace: Path
) -> None:
    """Those of the model and of its early state, which guides it."""
    spec = replace(FLAGSHIP, sampling=replace(FLAGSHIP.sampling, guidance=2.0, guide="early"))
    run_training("flagship", spec, CPU, SEED)
    run_sampling("flagship", spec, SAMPLE, replace(CPU, compile=asked), SEED)
    assert [type(network) for network in compiled] == kinds
    assert len(set(map(id, compiled))) == len(kinds)


@pytest.mark.parametrize(("asked", "before"), [(True, 1), (False, 0)])
def test_making_kernels_is_no_part_of_what_an_image_costs(
    asked: bool, before: int, compiled: list[nn.Module], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made when a network is first asked, which is before the clock starts."""
    asked_at: list[int] = []
    clock = SimpleNamespace(monotonic=lambda: float(len(asked_at)))
    forward = EdmUNet.forward
    monkeypatch.setattr(EdmUNet, "forward", lambda *given: asked_at.append(1) or forward(*given))
    run_training("flagship", FLAGSHIP, CPU, SEED)
    asked_at.clear()
    monkeypatch.setattr("tasks.sample.time", clock)
    found = run_sampling("flagship", FLAGSHIP, SAMPLE, replace(CPU, compile=asked), SEED)
    batches = len(blocks(found["num_images"], SAMPLE.batch))
    assert found["seconds"] == len(asked_at) * batches / (batches + before)


def test_on_a_gpu_torchs_own_kernels_draw(compiled: list[nn.Module]) -> None:
    model, device = build_diffusion(COURSE.network, COURSE.process, SEED), torch.device("cuda")
    compile_sampling(Sampling(model, COURSE.sampling, 4, device, autocast(CPU, DEVICE)))
    assert compiled == []


def test_a_variant_that_was_not_trained_is_a_missing_resource(workspace: Path) -> None:
    with pytest.raises(MissingResourceError, match=r"course/model\.json") as caught:
        run_sampling("course", COURSE, SAMPLE, CPU, SEED)
    assert caught.value.exit_code == 4


def test_altered_weights_are_refused(workspace: Path) -> None:
    run_training("flagship", FLAGSHIP, CPU, SEED)
    path = Path("artifacts/flagship/model.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match="was altered") as caught:
        run_sampling("flagship", FLAGSHIP, SAMPLE, CPU, SEED)
    assert caught.value.exit_code == 3
    assert not Path("artifacts/flagship/samples.npz").exists()


def test_weights_of_another_network_are_refused(workspace: Path) -> None:
    run_training("course", COURSE, CPU, SEED)
    assert isinstance(COURSE.network, CourseUNetSpec)
    wider = replace(COURSE, network=replace(COURSE.network, channels=(16, 16, 16)))
    with pytest.raises(IntegrityError, match=r"network\.channels"):
        run_sampling("course", wider, SAMPLE, CPU, SEED)


@pytest.mark.parametrize(("trained", "drawn"), [(STUDENT, FLAGSHIP), (FLAGSHIP, STUDENT), (STUDENT, LEAPING)])
def test_weights_that_were_taught_otherwise_are_refused(trained: Variant, drawn: Variant, workspace: Path) -> None:
    """Where a model was not taught to jump its answer is the mean of many pictures, and where it was it is one."""
    run_training("taught", trained, CPU, SEED)
    with pytest.raises(IntegrityError, match=r"another configuration \(distilled.*; do rerun train@taught"):
        run_sampling("taught", drawn, SAMPLE, CPU, SEED)
    assert not Path("artifacts/taught/samples.npz").exists()
    run_sampling("taught", trained, SAMPLE, CPU, SEED)


def test_the_same_image_has_the_same_seed_in_every_variant_and_sample_size() -> None:
    few, many = balanced_requests(3, SEED)[1].reshape(10, 3), balanced_requests(5, SEED)[1].reshape(10, 5)
    np.testing.assert_array_equal(few, many[:, :3])
