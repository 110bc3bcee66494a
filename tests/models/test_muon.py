import copy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.build import build_network
from models.muon import MOMENTUM, NEWTON_SCHULZ_STEPS, QUINTIC, Muon, orthogonalise, split_parameters
from models.spec import CourseUNetSpec, EdmUNetSpec
from tests.models.processes import ddpm, edm


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_singular_values(matrix: Tensor) -> Tensor:
    """The same map in closed form: the scalar quintic, applied to each singular value."""
    a, b, c = QUINTIC
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / values.square().sum().sqrt()
    for _ in range(NEWTON_SCHULZ_STEPS):
        values = a * values + b * values**3 + c * values**5
    return ((left * values) @ right).float()


def network_parameters() -> nn.ModuleDict:
    return nn.ModuleDict(
        {"wide": nn.Linear(12, 5, bias=False), "alike": nn.Linear(12, 5, bias=False), "kernel": nn.Conv2d(3, 40, 3)}
    )


@pytest.mark.parametrize("shape", [(6, 6), (5, 40), (40, 5), (24, 216)])
def test_orthogonalise_equals_the_quintic_on_the_singular_values(shape: tuple[int, int]) -> None:
    matrices = seeded(3, *shape)
    expected = torch.stack([by_singular_values(matrix) for matrix in matrices])
    assert_close(orthogonalise([matrices])[0], expected, atol=2e-5, rtol=1e-4)


def test_matrices_do_not_depend_on_those_beside_them() -> None:
    stacks = [seeded(3, 6, 40), seeded(1, 6, 6, seed=1), seeded(2, 50, 6, seed=2), seeded(2, 12, 30, seed=3)]
    for stack, found in zip(stacks, orthogonalise(stacks), strict=True):
        assert_close(found, orthogonalise([stack])[0])


@pytest.mark.parametrize("shape", [(40, 360), (64, 36)])
def test_singular_values_end_near_one(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalise([seeded(1, *shape)])[0][0])
    assert values.min() > 0.65
    assert values.max() < 1.25


def test_a_matrix_of_orthogonal_rows_keeps_its_direction() -> None:
    rows = torch.linalg.qr(seeded(40, 8))[0].T
    found = orthogonalise([7.0 * rows[None]])[0][0]
    assert_close(found / found[0].norm(), rows, atol=1e-4, rtol=1e-4)


def test_nearly_rank_deficient_matrices_stay_finite_and_bounded() -> None:
    low = seeded(1, 60, 2) @ seeded(1, 2, 300, seed=1)
    values = torch.linalg.svdvals(orthogonalise([low])[0][0])
    assert values[1] > 0.65
    assert values[0] < 1.25
    assert values[2] < 0.05


def test_a_zero_gradient_moves_nothing() -> None:
    assert not orthogonalise([torch.zeros(2, 4, 9)])[0].any()


def test_two_steps_by_hand_with_nesterov_momentum_and_scale() -> None:
    parameter = nn.Parameter(seeded(20, 5))
    expected = parameter.detach().clone()
    optimizer = Muon([parameter], lr=0.1)
    mean = torch.zeros(20, 5)
    for seed in (1, 2):
        gradient = seeded(20, 5, seed=seed)
        parameter.grad = gradient.clone()
        optimizer.step()
        mean = MOMENTUM * mean + (1.0 - MOMENTUM) * gradient
        update = by_singular_values(MOMENTUM * mean + (1.0 - MOMENTUM) * gradient)
        expected -= 0.1 * (20 / 5) ** 0.5 * update
    assert_close(parameter.detach(), expected, atol=1e-4, rtol=1e-4)


def test_agrees_with_the_muon_of_torch_on_a_matrix() -> None:
    parameter = nn.Parameter(seeded(16, 64))
    reference = nn.Parameter(parameter.detach().clone())
    ours = Muon([parameter], lr=0.05)
    theirs = torch.optim.Muon([reference], lr=0.05, momentum=MOMENTUM, weight_decay=0.0)
    for seed in range(3):
        parameter.grad = seeded(16, 64, seed=seed)
        reference.grad = parameter.grad.clone()
        ours.step()
        theirs.step()
    # torch works in bfloat16: eight bits of each update of size 0.05
    assert_close(parameter.detach(), reference.detach(), atol=2e-3, rtol=0.0)


def test_a_kernel_counts_as_its_flattened_matrix_in_either_memory_format() -> None:
    start, gradient = seeded(8, 4, 3, 3), seeded(8, 4, 3, 3, seed=1)
    moved = []
    for prepared in (start.flatten(1), start, start.to(memory_format=torch.channels_last)):
        parameter = nn.Parameter(prepared.clone())
        parameter.grad = gradient.reshape(parameter.shape).clone()
        Muon([parameter], lr=0.1).step()
        moved.append(parameter.detach().reshape(8, 36))
    assert_close(moved[1], moved[0], rtol=0.0, atol=0.0)
    assert_close(moved[2], moved[0], rtol=0.0, atol=0.0)


def test_working_on_equal_shapes_together_changes_nothing() -> None:
    together = [nn.Parameter(seeded(6, 9, seed=seed)) for seed in range(3)]
    alone = copy.deepcopy(together)
    for index, (one, other) in enumerate(zip(together, alone, strict=True)):
        one.grad = seeded(6, 9, seed=10 + index)
        other.grad = one.grad.clone()
        Muon([other], lr=0.1).step()
    Muon(together, lr=0.1).step()
    assert_close(together, alone)


def test_parameters_without_a_gradient_stay() -> None:
    parameter = nn.Parameter(seeded(4, 4))
    Muon([parameter], lr=0.1).step()
    assert_close(parameter.detach(), seeded(4, 4), rtol=0.0, atol=0.0)


def test_a_closure_is_evaluated_with_gradients() -> None:
    parameter = nn.Parameter(seeded(4, 4))
    optimizer = Muon([parameter], lr=0.1)

    def closure() -> float:
        loss = parameter.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == pytest.approx(seeded(4, 4).square().sum().item())
    assert not torch.equal(parameter.detach(), seeded(4, 4))


def test_a_saved_optimiser_resumes_bit_for_bit() -> None:
    def run(module: nn.Module, optimizer: Muon, steps: range) -> None:
        for step in steps:
            for index, parameter in enumerate(module.parameters()):
                parameter.grad = seeded(*parameter.shape, seed=100 * step + index)
            optimizer.step()

    unbroken = network_parameters()
    unbroken["kernel"].bias = None
    resumed = copy.deepcopy(unbroken)
    optimizer = Muon(unbroken.parameters(), lr=0.02)
    run(unbroken, optimizer, range(3))
    resumed.load_state_dict(unbroken.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    run(unbroken, optimizer, range(3, 6))
    second = Muon(resumed.parameters(), lr=1.0)
    second.load_state_dict(state)
    run(resumed, second, range(3, 6))
    for one, other in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def names(network: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    wanted = {id(parameter) for parameter in parameters}
    return {name for name, parameter in network.named_parameters() if id(parameter) in wanted}


def test_split_gives_muon_the_hidden_weights_of_the_flagship() -> None:
    spec = EdmUNetSpec(kind="edm_unet", patch=2, channels=(16, 16), blocks=(1, 1), heads=2, embedding=16, dropout=0.0)
    network = build_network(spec, edm())
    matrices, others = split_parameters(nn.ModuleDict({"network": network}))
    levels = ("outer_encoder.0", "inner_encoder.0", "inner_decoder.0", "outer_decoder.0")
    hidden = {f"{level}.{part}.weight" for level in levels for part in ("conv1", "conv2")}
    hidden |= {"modulation.linear.weight", "down.weight", "up.weight"}
    hidden |= {"attention.qkv.weight", "attention.out.weight"}
    assert names(network, matrices) == hidden
    assert names(network, others) == dict(network.named_parameters()).keys() - hidden


def test_split_gives_muon_the_hidden_weights_of_the_course() -> None:
    spec = CourseUNetSpec(kind="course_unet", channels=(8, 16, 16), group_size=8, time_features=8)
    network = build_network(spec, ddpm(10, 0.0001, 0.02))
    matrices, others = split_parameters(network)
    hidden = {f"{block}.{index}.0.weight" for block in ("down1", "down2") for index in (1, 2)}
    hidden |= {f"{block}.refine.{index}.0.weight" for block in ("up1", "up2") for index in (0, 1)}
    hidden |= {"up1.enlarge.weight", "up2.enlarge.weight", "bottleneck.0.weight", "merge.0.weight"}
    assert names(network, matrices) == hidden
    assert len(matrices) + len(others) == len(list(network.parameters()))
