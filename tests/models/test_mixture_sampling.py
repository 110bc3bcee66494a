"""Sampling from a mixture known by heart, with a network that mends nothing: what comes out is the mixture.

D is then the mixture's exact E[x0 | x], and the ODE from its own noisy images leads back to its clean ones.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.diffusion import SampleStep
from models.edm import Edm
from models.mixture import GaussianMixture
from models.noise import ImageNoise
from models.priors import MixturePrior
from tests.models.processes import mixture_edm
from tests.models.test_samplers import continuous

IMAGES = 400
SIGMA_MAX = 2.0
SHARES = (0.25, 0.75)
APART = 3.0
"""How far to either side of its class each of the two components lies, along the first pixel."""
ALONG, REST, OUTSIDE = (0.25, 0.16, 0.09), 0.04, 0.01
"""Variances of a component along its three directions, in the rest of the subspace, and outside."""


class Silent(nn.Module):
    """Mends nothing."""

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :1])


def fill(mixture: GaussianMixture) -> None:
    """Class c has components at c - 3 and c + 3; the subspace is eight pixels, the directions the first three."""
    side = torch.tensor([-APART, APART]).repeat(10)
    mixture.means[:, 0] = mixture.places[:, 0] = mixture.classes + side
    mixture.variances.copy_(torch.tensor(ALONG))
    mixture.rest.fill_(REST)
    mixture.outside.fill_(OUTSIDE)
    mixture.log_shares.copy_(torch.tensor(SHARES).log().repeat(10))


def process() -> Edm:
    model = Edm(Silent(), mixture_edm(components=2, rank=3, subspace=8)).eval()
    assert isinstance(model.prior, MixturePrior)
    fill(model.prior.mixture)
    return model


def drawn(kind: str, labels: Tensor) -> list[SampleStep]:
    sampler = replace(continuous(kind), start="prior", steps=24, sigma_max=SIGMA_MAX)
    return list(process().sample(sampler, ImageNoise(range(len(labels))), labels))


@pytest.mark.parametrize("kind", ["heun", "dpmpp_3m", "unipc"])
def test_a_silent_network_draws_the_mixture_of_the_classes_asked_for(kind: str) -> None:
    """Up to five standard deviations of what so many draws say of shares, means and variances."""
    labels = torch.arange(10).repeat(IMAGES // 10)
    pixels = drawn(kind, labels)[-1].x.flatten(1).double()
    place = pixels[:, 0] - labels
    assert (place > 0.0).double().mean().item() == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / IMAGES) ** 0.5)
    for side, share in zip((-APART, APART), SHARES, strict=True):
        own, count = (place - side).abs() < APART, share * IMAGES
        assert place[own].mean().item() == pytest.approx(side, abs=5 * (ALONG[0] / count) ** 0.5)
        for pixel, variance in enumerate(ALONG):
            found = place if pixel == 0 else pixels[:, pixel]
            assert found[own].var().item() == pytest.approx(variance, rel=5 * (2 / count) ** 0.5)
    for part, variance in ((pixels[:, 3:8], REST), (pixels[:, 8:], OUTSIDE)):
        assert part.mean().item() == pytest.approx(0.0, abs=5 * (variance / part.numel()) ** 0.5)
        assert part.var().item() == pytest.approx(variance, rel=0.02 + 5 * (2 / part.numel()) ** 0.5)


@pytest.mark.parametrize("kind", ["heun", "dpmpp_2m", "unipc"])
def test_a_start_from_a_mixture_is_its_draw_for_the_class_and_the_chance_of_each_image(kind: str) -> None:
    labels, twin = torch.tensor([7, 0, 7, 3, 9]), ImageNoise(range(5))
    start = drawn(kind, labels)[0].x
    assert torch.equal(start, process().prior.draw(SIGMA_MAX, labels, twin.draw(), twin.uniform()))
