from dataclasses import replace
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from models.edm_unet import EdmUNet, ResidualBlock, SelfAttention
from models.layers import SeededDropout, UncastGroupNorm, reseed_dropout
from models.spec import EdmUNetSpec


def spec(dropout: float = 0.0, patch: Literal[1, 2] = 2) -> EdmUNetSpec:
    return EdmUNetSpec(
        kind="edm_unet", patch=patch, channels=(16, 48), blocks=(1, 2), heads=3, embedding=32, dropout=dropout
    )


def awakened(module: nn.Module) -> nn.Module:
    """Weights that start at zero get values, so that every path shows."""
    generator = torch.Generator().manual_seed(5)
    for parameter in module.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return module


def new_network(dropout: float = 0.0, patch: Literal[1, 2] = 2) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return awakened(EdmUNet(spec(dropout, patch)))


@pytest.fixture(name="network", params=[1, 2])
def flagship_network(request: pytest.FixtureRequest) -> nn.Module:
    return new_network(patch=request.param).eval()


def inputs(count: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 1, 28, 28, generator=generator)
    level = torch.randn(count, generator=generator) * 0.3 - 0.25
    labels = torch.randint(10, (count,), generator=generator)
    return x, level, labels, torch.ones(count)


def moved(network: nn.Module, changed: tuple[Tensor, ...], original: tuple[Tensor, ...]) -> float:
    with torch.no_grad():
        return float((network(*changed) - network(*original)).abs().max())


def test_answers_one_number_per_pixel(network: nn.Module) -> None:
    out = network(*inputs())
    assert out.shape == (4, 1, 28, 28)
    assert out.is_contiguous()
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_answers_without_gradients_are_the_same_and_leave_the_inputs_alone(
    network: nn.Module, precision: torch.dtype
) -> None:
    """What is computed in place there must not be looked at again."""
    given, untouched = inputs(), inputs()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        with torch.no_grad():
            out = network(*given)
        expected = network(*given)
    assert expected.requires_grad
    assert torch.equal(out, expected)
    assert all(map(torch.equal, given, untouched))


def test_a_block_without_gradients_keeps_the_precision_of_what_it_is_given() -> None:
    """Of single precision in, single precision comes out, though the convolutions between are of half of it."""
    block = awakened(ResidualBlock(16, 0.0)).eval()
    generator = torch.Generator().manual_seed(3)
    x, modulation = torch.randn(2, 16, 8, 8, generator=generator), torch.randn(2, 32, generator=generator)
    before = x.clone()
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            out = block(x, modulation)
        expected = block(x, modulation)
    assert out.dtype == expected.dtype == torch.float32
    assert torch.equal(out, expected)
    assert torch.equal(x, before)


def test_a_new_network_answers_zero() -> None:
    assert not EdmUNet(spec())(*inputs()).any()


def test_the_flagship_has_as_many_parameters_as_its_layers_add_up_to() -> None:
    def block(c: int) -> int:
        return 2 * (9 * c * c + c) + (128 + 1) * 2 * c

    levels = 2 * block(32) + 4 * block(64)
    between = (4 * 32 * 64 + 64) + (4 * 64 * 32 + 32)
    embedding = (32 * 128 + 128) + 10 * 128 + (128 * 128 + 128)
    ends = (9 * 2 * 32 + 32) + 2 * 32 + (9 * 32 + 1)
    flagship = EdmUNetSpec(
        kind="edm_unet", patch=1, channels=(32, 64), blocks=(1, 2), heads=0, embedding=128, dropout=0.0
    )
    found = sum(p.numel() for p in EdmUNet(flagship, images=2).parameters())
    assert found == levels + between + embedding + ends


def test_attention_adds_its_own_parameters_alone() -> None:
    looking, blind = (EdmUNet(replace(spec(), heads=heads)) for heads in (3, 0))
    added = dict(looking.named_parameters()).keys() - dict(blind.named_parameters()).keys()
    assert added == {f"attention.{name}" for name, _ in SelfAttention(48, 3).named_parameters()}


def test_noise_level_changes_the_answer(network: nn.Module) -> None:
    x, level, labels, keep = inputs()
    assert moved(network, (x, level + 0.1, labels, keep), (x, level, labels, keep)) > 1e-3


def test_the_label_changes_the_answer_where_it_is_shown(network: nn.Module) -> None:
    x, level, labels, keep = inputs()
    assert moved(network, (x, level, (labels + 1) % 10, keep), (x, level, labels, keep)) > 1e-3


def test_hiding_the_label_changes_the_answer(network: nn.Module) -> None:
    x, level, labels, keep = inputs()
    assert moved(network, (x, level, labels, 0.0 * keep), (x, level, labels, keep)) > 1e-3


def test_a_hidden_label_is_irrelevant_exactly(network: nn.Module) -> None:
    x, level, labels, _ = inputs()
    hidden = torch.zeros(4)
    assert moved(network, (x, level, (labels + 1) % 10, hidden), (x, level, labels, hidden)) == 0.0


def test_every_block_hears_its_modulation() -> None:
    block = awakened(ResidualBlock(16, 0.0))
    x = torch.randn(2, 16, 7, 7, generator=torch.Generator().manual_seed(3))
    assert moved(block, (x, torch.ones(2, 32)), (x, torch.zeros(2, 32))) > 1e-3


def test_each_block_has_a_modulation_of_its_own(network: nn.Module) -> None:
    assert isinstance(network, EdmUNet)
    heard: list[Tensor] = []
    stages = (network.outer_encoder, network.inner_encoder, network.inner_decoder, network.outer_decoder)
    for block in (block for stage in stages for block in stage):
        block.register_forward_hook(lambda _, args, __: heard.append(args[1]))
    _, level, labels, keep = inputs()
    network(*inputs())
    spoken = network.modulation.linear(network.modulation.embedding(level, labels, keep))
    assert_close(torch.cat(heard, dim=1), spoken, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("affine", [True, False])
def test_normalisation_under_autocast_keeps_the_precision_of_what_it_is_given(
    precision: torch.dtype, affine: bool
) -> None:
    """What it rounds is its answer alone: the sums of 3,136 values around 100 would be off by far more."""
    generator = torch.Generator().manual_seed(3)
    norm, exact = UncastGroupNorm(2, 32, affine=affine), nn.GroupNorm(2, 32, affine=affine)
    for parameter in norm.parameters():
        nn.init.normal_(parameter, generator=generator)
    exact.load_state_dict(norm.state_dict())
    x = (100.0 + 8.0 * torch.randn(3, 32, 14, 14, generator=generator)).to(precision)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x.contiguous(memory_format=torch.channels_last))
    assert found.dtype == precision
    assert_close(found.float(), exact(x.float()), rtol=2.0**-7, atol=1e-4 if precision == torch.float32 else 2.0**-6)


def test_maps_are_normalised_in_groups_of_sixteen() -> None:
    """Smaller ones take a CPU six times as long in bfloat16."""
    norms = [module for module in new_network().modules() if isinstance(module, nn.GroupNorm)]
    assert len(norms) == 8
    assert {norm.num_channels / norm.num_groups for norm in norms} == {16.0}


@pytest.mark.parametrize("part", ["modulation.linear", "modulation.embedding.mix"])
def test_noise_level_and_class_are_heard_in_float32(network: nn.Module, part: str) -> None:
    heard: list[torch.dtype] = []
    network.get_submodule(part).register_forward_hook(lambda _, __, output: heard.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(*inputs())
    assert heard == [torch.float32]


def test_attention_is_weighed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[torch.dtype] = []
    attend = F.scaled_dot_product_attention

    def listen(*parts: Tensor) -> Tensor:
        heard.extend(part.dtype for part in parts)
        return attend(*parts)

    monkeypatch.setattr(F, "scaled_dot_product_attention", listen)
    with torch.autocast("cpu", torch.bfloat16):
        SelfAttention(32, heads=2)(torch.zeros(1, 32, 7, 7))
    assert heard == [torch.float32] * 3


def test_a_new_block_is_the_identity() -> None:
    x = torch.randn(2, 16, 7, 7, generator=torch.Generator().manual_seed(3))
    assert_close(ResidualBlock(16, 0.0)(x, torch.ones(2, 32)), x, rtol=0.0, atol=0.0)


def test_every_parameter_gets_a_gradient(network: nn.Module) -> None:
    network(*inputs()).square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0.0]
    assert silent == []


def test_an_image_does_not_see_the_rest_of_its_batch(network: nn.Module) -> None:
    x, level, labels, keep = inputs()
    other = torch.cat([x[:1], 3.0 * x[1:] + 1.0])
    with torch.no_grad():
        first = network(x, level, labels, keep)[0]
        second = network(other, level + torch.tensor([0.0, 0.2, 0.2, 0.2]), labels, keep)[0]
    assert_close(second, first, rtol=0.0, atol=0.0)


def test_each_block_on_the_way_up_has_a_skip_added_innermost_first(network: nn.Module) -> None:
    assert isinstance(network, EdmUNet)
    joined: list[Tensor] = []
    skips: list[Tensor] = []
    below: list[Tensor] = []
    for block in [*network.inner_decoder, *network.outer_decoder]:
        block.register_forward_pre_hook(lambda _, args: joined.append(args[0]))
    for block in [*network.outer_encoder, *network.inner_encoder]:
        block.register_forward_hook(lambda _, __, output: skips.append(output))
    for layer in (network.attention, network.inner_decoder[0], network.up):
        layer.register_forward_hook(lambda _, __, output: below.append(output))
    network(*inputs(2))
    small, large = (14 // network.patch, 28 // network.patch)
    assert [tuple(x.shape[1:]) for x in joined] == [(48, small, small), (48, small, small), (16, large, large)]
    for found, lower, skip in zip(joined, below, reversed(skips), strict=True):
        assert torch.equal(found, lower + skip)


def test_attention_equals_its_formula() -> None:
    attention = awakened(SelfAttention(24, heads=3))
    assert isinstance(attention, SelfAttention)
    x = torch.randn(2, 24, 7, 7, generator=torch.Generator().manual_seed(4))
    qkv = attention.qkv(attention.norm(x)).reshape(2, 3, 3, 8, 49)
    query, key, value = qkv.unbind(dim=1)
    weights = (query.mT @ key / 8**0.5).softmax(dim=-1)
    mixed = (value @ weights.mT).reshape(2, 24, 7, 7)
    assert_close(attention(x), x + attention.out(mixed))


def test_dropout_repeats_from_its_seed_and_differs_between_seeds() -> None:
    network = new_network(dropout=0.5).train()

    def answer(seed: int) -> Tensor:
        reseed_dropout(network, seed)
        with torch.no_grad():
            return network(*inputs())

    before = torch.get_rng_state()
    first = answer(7)
    assert_close(answer(7), first, rtol=0.0, atol=0.0)
    assert not torch.equal(answer(8), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_layers_of_one_network_draw_different_masks() -> None:
    layers = nn.ModuleList([SeededDropout(0.5), SeededDropout(0.5)])
    reseed_dropout(layers, 2**63 - 1)
    first, second = (layer(torch.ones(100)) for layer in layers)
    assert not torch.equal(first, second)


def test_dropout_keeps_the_mean_and_is_the_identity_in_evaluation() -> None:
    dropout = SeededDropout(0.25)
    x = torch.ones(100_000)
    out = dropout(x)
    assert_close(out.unique(), torch.tensor([0.0, 4.0 / 3.0]))
    # five standard errors of the mean of 100,000 masks: 5 * sqrt(p / (1 - p) / n)
    assert_close(out.mean(), torch.tensor(1.0), rtol=0.0, atol=0.0092)
    assert dropout.eval()(x) is x
