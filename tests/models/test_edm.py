"""EDM: the identities behind table 1 of Karras et al. 2022, the loss and the pixels."""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler
from torch import Tensor, nn
from torch.testing import assert_close

from models.diffusion import Draw
from models.edm import Edm
from models.noise import ImageNoise
from models.preconditioning import c_noise, precondition
from models.sampler_spec import DiscreteSamplerSpec
from models.times import sigma_quantile
from tests.models.processes import edm

SPEC = edm()
SIGMA = torch.logspace(-3, 2, 40, dtype=torch.float64)


class Constant(nn.Module):
    """Answers every call with one number and remembers the arguments."""

    def __init__(self, value: float, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.value, self.dtype = value, dtype
        self.calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        self.calls.append((x, level, labels, keep))
        return torch.full_like(x, self.value, dtype=self.dtype)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_network_input_and_target_have_unit_variance() -> None:
    """Karras et al. 2022, appendix B.6: the two requirements from which c_in, c_out and c_skip follow."""
    c = precondition(SIGMA, 0.5)
    one = torch.ones(40, 1, 1, 1, dtype=torch.float64)
    sigma = SIGMA.view(-1, 1, 1, 1)
    assert_close(c.c_in**2 * (0.25 + sigma**2), one)
    assert_close(((1 - c.c_skip) ** 2 * 0.25 + c.c_skip**2 * sigma**2) / c.c_out**2, one)


def test_c_skip_minimises_c_out() -> None:
    """The errors of the network are amplified as little as possible: d c_out^2 / d c_skip = 0."""
    c_skip = precondition(SIGMA, 0.5).c_skip.flatten()
    assert_close((1 - c_skip) * 0.25, c_skip * SIGMA**2)


def test_network_is_told_a_quarter_of_the_log() -> None:
    assert_close(c_noise(SIGMA), torch.log(SIGMA) / 4)


def test_effective_weight_is_one() -> None:
    """The weight is (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 of table 1."""
    weight = Edm(nn.Identity(), SPEC).weight(SIGMA)
    assert_close(weight, (SIGMA**2 + 0.25) / (SIGMA * 0.5) ** 2)
    assert_close(weight * precondition(SIGMA, 0.5).c_out.flatten() ** 2, torch.ones_like(SIGMA))


def test_preconditioning_parity_with_diffusers() -> None:
    theirs = EDMDPMSolverMultistepScheduler(sigma_data=0.5)
    x, output = torch.randn(40, 1, 3, 3, generator=generator()), torch.randn(40, 1, 3, 3, generator=generator(1))
    sigma = SIGMA.float().view(-1, 1, 1, 1)
    c = precondition(SIGMA.float(), 0.5)
    assert_close(c.c_in * x, theirs.precondition_inputs(x, sigma))
    assert_close(c_noise(SIGMA.float()), theirs.precondition_noise(SIGMA.float()))
    assert_close(c.c_skip * x + c.c_out * output, theirs.precondition_outputs(x, output, sigma))


@pytest.mark.parametrize("sigma", [0.002, 0.1, 0.5, 3.0, 80.0])
def test_untrained_loss_is_one_at_every_level(sigma: float) -> None:
    """A network that answers 0, on data of standard deviation sigma_data."""
    x0 = 0.5 * torch.randn(500, 1, 28, 28, generator=generator())
    draw = Draw(torch.full((500,), sigma), torch.randn(500, 1, 28, 28, generator=generator(1)))
    loss = Edm(Constant(0.0), SPEC).loss(x0, torch.zeros(500, dtype=torch.int64), torch.ones(500), draw)
    assert loss.shape == (500,)
    assert loss.mean().item() == pytest.approx(1.0, rel=0.01)


def test_loss_is_the_error_of_the_network_output() -> None:
    """The weight times (D - x0)^2 is (F - target)^2 with the target of equation 8."""
    x0 = 0.5 * torch.randn(4, 1, 28, 28, generator=generator(), dtype=torch.float64)
    eps = torch.randn(4, 1, 28, 28, generator=generator(1), dtype=torch.float64)
    sigma = torch.tensor([0.01, 0.3, 2.0, 40.0], dtype=torch.float64)
    c = precondition(sigma, 0.5)
    target = (x0 - c.c_skip * (x0 + sigma.view(-1, 1, 1, 1) * eps)) / c.c_out
    loss = Edm(Constant(0.3), SPEC).loss(x0, torch.arange(4), torch.ones(4), Draw(sigma, eps))
    assert_close(loss, (0.3 - target).square().mean(dim=(1, 2, 3)))


def test_network_sees_scaled_images_the_log_of_sigma_the_label_and_the_mask() -> None:
    network = Constant(0.0)
    sigma = torch.tensor([0.5, 2.0])
    draw = Draw(sigma, torch.randn(2, 1, 28, 28, generator=generator()))
    Edm(network, SPEC).loss(torch.zeros(2, 1, 28, 28), torch.tensor([3, 8]), torch.tensor([0.0, 1.0]), draw)
    x, level, labels, keep = network.calls[0]
    shrunk = sigma / torch.sqrt(sigma**2 + 0.25)
    assert_close(x, shrunk.view(-1, 1, 1, 1) * draw.eps)
    assert_close(level, torch.log(sigma) / 4)
    assert labels.tolist() == [3, 8]
    assert keep.tolist() == [0.0, 1.0]


def test_loss_stays_float32_when_the_network_answers_in_bfloat16() -> None:
    process = Edm(Constant(0.0, torch.bfloat16), SPEC)
    draw = process.draw(3, generator())
    loss = process.loss(torch.zeros(3, 1, 28, 28), torch.arange(3), torch.ones(3), draw)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_sigma_is_finite_and_positive_at_the_edge_of_the_distribution(
    extreme: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand", lambda batch, **_: torch.full((batch,), extreme, dtype=torch.float64))
    sigma = Edm(nn.Identity(), SPEC).draw_levels(16, generator())
    assert torch.all(sigma > 0.0)
    assert torch.all(torch.isfinite(sigma))


def test_drawn_sigma_is_log_normal() -> None:
    process = Edm(nn.Identity(), SPEC)
    logs = process.draw_levels(20_000, generator()).log()
    assert logs.dtype == torch.float32
    assert process.draw(64, generator()).eps.shape == (64, 1, 28, 28)
    assert logs.mean().item() == pytest.approx(-1.0, abs=1e-3)
    assert logs.std().item() == pytest.approx(1.2, rel=1e-3)


@pytest.mark.parametrize(("share", "deviations"), [(0.0, -3.0), (0.25, -1.5), (0.5, 0.0), (1.0, 3.0)])
def test_probe_levels_are_even_in_the_log(share: float, deviations: float) -> None:
    process = Edm(nn.Identity(), SPEC)
    expected = math.exp(-1.0 + 1.2 * deviations)
    assert process.level_value(share) == pytest.approx(expected)
    assert_close(process.probe(4, share, generator()).level, torch.full((4,), expected))


def fitted() -> tuple[Edm, Tensor]:
    """A process fitted to 64 random images, of another brightness in each pixel."""
    source = generator(4)
    images = torch.randint(0, 256, (64, 28, 28), generator=source).to(torch.float64)
    images = (images * torch.rand(28, 28, generator=source, dtype=torch.float64)).round()
    mean = images.mean(dim=0)
    process = Edm(nn.Identity(), SPEC)
    process.fit_pixels(mean, (images - mean).square().mean().sqrt().item())
    return process, images.to(torch.uint8)


def test_fitted_pixels_are_centred_and_scaled_to_sigma_data() -> None:
    process, images = fitted()
    x = process.encode(images)
    assert x.shape == (64, 1, 28, 28)
    assert_close(x.mean(dim=0), torch.zeros(1, 28, 28), rtol=0.0, atol=1e-5)
    assert x.square().mean().sqrt().item() == pytest.approx(0.5, rel=1e-5)


def test_all_grey_levels_survive_encoding_in_every_pixel() -> None:
    process, _ = fitted()
    images = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1).expand(256, 28, 28)
    assert torch.equal(process.decode(process.encode(images)), images)


def test_decoding_clips() -> None:
    process, _ = fitted()
    assert process.decode(torch.full((1, 1, 28, 28), 100.0)).unique().tolist() == [255]
    assert process.decode(torch.full((1, 1, 28, 28), -100.0)).unique().tolist() == [0]


def test_state_dict_carries_the_pixel_statistics() -> None:
    process, images = fitted()
    restored = Edm(nn.Identity(), SPEC)
    restored.load_state_dict(process.state_dict())
    assert torch.equal(restored.encode(images), process.encode(images))


def test_pixels_lie_between_minus_one_and_one_before_fitting() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(28 * 14).view(1, 28, 28)
    x = Edm(nn.Identity(), SPEC).encode(images)
    assert (x.min().item(), x.max().item()) == (-1.0, 1.0)


@pytest.mark.parametrize("std", [0.0, -1.0, math.nan])
def test_pixels_without_spread_are_refused(std: float) -> None:
    with pytest.raises(ValueError, match="cannot scale pixels of standard deviation"):
        Edm(nn.Identity(), SPEC).fit_pixels(torch.zeros(28, 28, dtype=torch.float64), std)


def test_a_discrete_sampler_is_refused() -> None:
    sampler = DiscreteSamplerSpec(kind="ddim", steps=4, eta=0.0, guidance=1.0, guide="unlabelled", start="noise")
    with pytest.raises(TypeError, match="an EDM cannot be sampled by ddim"):
        Edm(nn.Identity(), SPEC).sample(sampler, ImageNoise([1]), torch.tensor([0]))


@pytest.mark.parametrize(("sigma", "weight"), [(0.1, 20.0), (0.5, 4.0), (5.0, 0.04)])
def test_min_snr_weighs_the_clean_image_by_the_capped_ratio(sigma: float, weight: float) -> None:
    """Signal-to-noise ratios 25, 1 and 0.01 for data of standard deviation 0.5, capped at 5 (Hang et al. 2023)."""
    process = Edm(Constant(0.0), edm(min_snr_gamma=5.0))
    draw = Draw(torch.tensor([sigma]), torch.zeros(1, 1, 28, 28))
    shrunk = 0.25 / (sigma**2 + 0.25)  # D of a network that answers 0 is c_skip * x
    loss = process.loss(torch.ones(1, 1, 28, 28), torch.tensor([1]), torch.ones(1), draw)
    assert_close(loss, torch.tensor([weight * (1.0 - shrunk) ** 2]))


def test_cosine_levels_are_drawn_from_their_own_density() -> None:
    process = Edm(nn.Identity(), edm(density="cosine", log_sigma_mean=0.0, log_sigma_std=0.0))
    sigma = process.draw_levels(1000, generator()).double()
    assert_close(
        sigma.sort().values.median(), sigma_quantile(torch.tensor(0.5), process.spec).double(), rtol=0.01, atol=0.0
    )
    assert process.level_value(0.0) == pytest.approx(0.005)
    assert process.level_value(1.0) == pytest.approx(50.0)
