import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.course_unet import CourseUNet, DownBlock
from models.spec import CourseUNetSpec

SPEC = CourseUNetSpec(kind="course_unet", channels=(16, 32, 48), group_size=8, time_features=16)
STEPS = 100


@pytest.fixture(name="network")
def course_network() -> CourseUNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CourseUNet(SPEC, STEPS).eval()


def inputs(count: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 1, 28, 28, generator=generator)
    level = torch.randint(STEPS, (count,), generator=generator).float()
    labels = torch.randint(10, (count,), generator=generator)
    return x, level, labels, torch.ones(count)


def moved(network: nn.Module, changed: tuple[Tensor, ...], original: tuple[Tensor, ...]) -> float:
    with torch.no_grad():
        return float((network(*changed) - network(*original)).abs().max())


def test_predicts_one_number_per_pixel(network: CourseUNet) -> None:
    out = network(*inputs())
    assert out.shape == (4, 1, 28, 28)
    assert out.is_contiguous()
    assert torch.isfinite(out).all()


def test_the_network_of_the_course_has_as_many_parameters_as_its_layers_add_up_to() -> None:
    # 3x3 convolutions with bias, each followed by a gain and a bias per channel, except the last
    blocks = [(1, 32), (32, 32), (128, 64), (64, 64), (256, 128), (128, 128), (128, 128)]
    blocks += [(64, 64), (64, 64), (32, 32), (32, 32), (64, 32)]
    convolutions = sum(9 * i * o + 3 * o for i, o in blocks) + 9 * 32 + 1
    transposed = (256 * 64 * 4 + 64) + (128 * 32 * 4 + 32)
    embeddings = (32 * 128 + 128) + (10 * 128 + 128) + 2 * (128 * 128 + 128)
    spec = CourseUNetSpec(kind="course_unet", channels=(32, 64, 128), group_size=8, time_features=32)
    found = sum(p.numel() for p in CourseUNet(spec, STEPS).parameters())
    assert found == convolutions + transposed + embeddings == 943_873


def test_time_changes_the_answer(network: CourseUNet) -> None:
    x, level, labels, keep = inputs()
    assert moved(network, (x, level + 20.0, labels, keep), (x, level, labels, keep)) > 1e-4


def test_the_label_changes_the_answer_where_it_is_shown(network: CourseUNet) -> None:
    x, level, labels, keep = inputs()
    assert moved(network, (x, level, (labels + 1) % 10, keep), (x, level, labels, keep)) > 1e-4


def test_hiding_the_label_changes_the_answer(network: CourseUNet) -> None:
    x, level, labels, keep = inputs()
    assert moved(network, (x, level, labels, 0.0 * keep), (x, level, labels, keep)) > 1e-4


def test_a_hidden_label_is_irrelevant_exactly(network: CourseUNet) -> None:
    x, level, labels, _ = inputs()
    hidden = torch.zeros(4)
    assert moved(network, (x, level, (labels + 1) % 10, hidden), (x, level, labels, hidden)) == 0.0


def test_the_mask_multiplies_the_embedded_label(network: CourseUNet) -> None:
    _, level, labels, keep = inputs()
    shown = network.condition(level, labels, keep) - network.condition(level, labels, 0.0 * keep)
    assert_close(shown, network.class_embedding(torch.eye(10)[labels]), atol=1e-6, rtol=1e-5)


def test_time_enters_as_the_share_of_the_steps(network: CourseUNet) -> None:
    x, level, labels, keep = inputs()
    doubled = CourseUNet(SPEC, 2 * STEPS).eval()
    doubled.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert_close(doubled(x, 2.0 * level, labels, keep), network(x, level, labels, keep))


def test_every_parameter_gets_a_gradient(network: CourseUNet) -> None:
    network(*inputs()).square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0.0]
    assert silent == []


def test_an_image_does_not_see_the_rest_of_its_batch(network: CourseUNet) -> None:
    x, level, labels, keep = inputs()
    other = torch.cat([x[:1], 3.0 * x[1:] + 1.0])
    with torch.no_grad():
        first = network(x, level, labels, keep)[0]
        second = network(other, (level + torch.tensor([0.0, 5.0, 5.0, 5.0])), labels, keep)[0]
    assert_close(second, first, rtol=0.0, atol=0.0)


def test_skips_are_concatenated_at_all_three_sizes(network: CourseUNet) -> None:
    joined: list[Tensor] = []
    skips: list[Tensor] = []
    for layer in (network.up2.enlarge, network.up1.enlarge, network.merge):
        layer.register_forward_pre_hook(lambda _, args: joined.append(args[0]))
    for layer in (network.stem, network.down1, network.down2):
        layer.register_forward_hook(lambda _, __, output: skips.append(output))
    network(*inputs(2))
    assert [tuple(x.shape[1:]) for x in joined] == [(96, 7, 7), (64, 14, 14), (32, 28, 28)]
    for x, skip in zip(joined, reversed(skips), strict=True):
        assert torch.equal(x[:, skip.shape[1] :], skip)


def test_the_second_convolution_of_the_stem_is_added_to_the_first(network: CourseUNet) -> None:
    x = inputs(2)[0]
    first = network.stem.first(x)
    assert_close(network.stem(x), first + network.stem.second(first))


def test_pooling_by_rearrangement_keeps_every_pixel() -> None:
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    pooled = DownBlock(2, 8, 8)[0](x)
    assert pooled.shape == (1, 8, 2, 2)
    assert_close(pooled[0, :4, 0, 0], torch.tensor([0.0, 1.0, 4.0, 5.0]))
    assert pooled.flatten().sort().values.tolist() == x.flatten().tolist()


def test_each_group_of_a_convolution_block_is_normalised(network: CourseUNet) -> None:
    norm = network.bottleneck[1]
    out = norm(torch.randn(2, 48, 7, 7, generator=torch.Generator().manual_seed(2)) * 5.0 + 3.0)
    grouped = out.reshape(2, 6, -1)
    assert_close(grouped.mean(dim=2), torch.zeros(2, 6), atol=1e-5, rtol=0.0)
    assert_close(grouped.var(dim=2, unbiased=False), torch.ones(2, 6), atol=1e-4, rtol=0.0)
