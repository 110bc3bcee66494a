from collections.abc import Iterator

import pytest
import torch
from torch.testing import assert_close

from models.build import build_diffusion, build_network
from models.course_unet import CourseUNet
from models.ddpm import Ddpm
from models.diffusion import Diffusion
from models.edm import Edm
from models.edm_unet import EdmUNet
from models.spec import CourseUNetSpec, EdmUNetSpec, NetworkSpec, ProcessSpec
from tests.models.processes import ddpm, edm

COURSE = CourseUNetSpec(kind="course_unet", channels=(8, 16, 16), group_size=8, time_features=8)
EDM_UNET = EdmUNetSpec(kind="edm_unet", patch=2, channels=(16, 16), blocks=(1, 1), heads=2, embedding=16, dropout=0.0)
DDPM = ddpm(50, 0.0001, 0.02)
EDM = edm()
PAIRS = [(COURSE, DDPM), (COURSE, EDM), (EDM_UNET, EDM)]


def weights(diffusion: Diffusion) -> Iterator[tuple[str, torch.Tensor]]:
    yield from diffusion.state_dict().items()


def test_builds_what_the_description_names() -> None:
    course = build_diffusion(COURSE, DDPM, seed=1)
    flagship = build_diffusion(EDM_UNET, EDM, seed=1)
    assert (type(course), type(course.network)) == (Ddpm, CourseUNet)
    assert (type(flagship), type(flagship.network)) == (Edm, EdmUNet)


def test_the_course_network_knows_the_steps_of_its_process() -> None:
    network = build_network(COURSE, DDPM)
    assert isinstance(network, CourseUNet)
    assert network.steps == 50


@pytest.mark.parametrize(("network", "process"), PAIRS)
def test_the_seed_decides_every_weight(network: NetworkSpec, process: ProcessSpec) -> None:
    first, again, other = (dict(weights(build_diffusion(network, process, seed))) for seed in (3, 3, 4))
    assert first.keys() == again.keys()
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
    stem = next(name for name in first if "stem" in name and name.endswith("weight"))
    assert not torch.equal(first[stem], other[stem])


@pytest.mark.parametrize(("network", "process"), PAIRS)
def test_global_randomness_is_left_as_it_was(network: NetworkSpec, process: ProcessSpec) -> None:
    before = torch.get_rng_state()
    build_diffusion(network, process, seed=11)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("network", "process"), PAIRS)
def test_a_network_runs_under_the_processes_that_it_can_undo(network: NetworkSpec, process: ProcessSpec) -> None:
    diffusion = build_diffusion(network, process, seed=2)
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(3, 1, 28, 28, generator=generator)
    loss = diffusion.loss(x0, torch.tensor([0, 4, 9]), torch.ones(3), diffusion.draw(3, generator))
    assert loss.shape == (3,)
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize(("network", "process"), PAIRS)
def test_the_memory_format_of_the_weights_changes_no_answer(network: NetworkSpec, process: ProcessSpec) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1, 28, 28, generator=generator)
    arguments = (x, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 4, 9]), torch.ones(3))
    plain = build_diffusion(network, process, seed=2).network
    expected = plain(*arguments)
    assert_close(plain.to(memory_format=torch.channels_last)(*arguments), expected)
