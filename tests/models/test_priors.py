"""Priors: what the network is shown, and that a fitted mixture guesses better and knows how far off it is."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from models.build import build_diffusion
from models.diffusion import Draw
from models.edm import Edm
from models.preconditioning import precondition
from models.priors import IsotropicPrior, MixturePrior, build_prior, images_shown
from models.spec import EdmUNetSpec
from tests.models.processes import edm, mixture_edm


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Encoded images of ten brightness levels that vary slowly from pixel to pixel, and their classes."""
    labels = torch.arange(count) % 10
    coarse = 0.3 * torch.randn(count, 1, 4, 4, generator=generator(seed)) + (labels - 4.5).view(-1, 1, 1, 1) / 6
    return torch.nn.functional.interpolate(coarse, size=(28, 28), mode="bilinear"), labels


def fitted() -> MixturePrior:
    prior = MixturePrior(mixture_edm(components=2, rank=6, subspace=20))
    prior.fit(*smooth_images(800, 1), generator(2))
    return prior


def asked(sigma: float, count: int = 200) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    clean, labels = smooth_images(count, 5)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator(6))
    return clean, (noisy, torch.full((count,), sigma), labels, torch.ones(count))


def test_the_isotropic_prior_is_the_preconditioning_of_the_paper() -> None:
    x, sigma = torch.randn(3, 1, 28, 28, generator=generator()), torch.tensor([0.1, 1.0, 9.0])
    guess, c = IsotropicPrior(0.5)(x, sigma, torch.arange(3), torch.ones(3)), precondition(sigma, 0.5)
    assert torch.equal(guess.x0, c.c_skip * x)
    assert torch.equal(guess.error, c.c_out)
    assert torch.equal(guess.seen, c.c_in * x)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.7, 12.0])
def test_a_fitted_mixture_is_as_far_off_as_it_says(sigma: float) -> None:
    """On images that it has not seen, and nearer than the paper's c_out at every level."""
    clean, question = asked(sigma)
    guess = fitted()(*question)
    found = (guess.x0 - clean).square().mean().sqrt().item()
    assert found == pytest.approx(guess.error[0].item(), rel=0.15)
    assert found < 0.9 * precondition(question[1], 0.5).c_out[0].item()


def test_the_numbers_of_a_mixture_are_counted() -> None:
    """A basis, then a share, a place and a covariance of low rank for each of 20 Gaussians, and the errors."""
    prior = fitted()
    each = 1 + 20 + (20 * 6 + 6 + 6 + 1)
    assert prior.fitted_numbers == 784 * 20 + 20 * each + 1 + len(prior.log_errors)
    assert IsotropicPrior(0.5).fitted_numbers == 0


def test_the_error_lies_between_those_measured_and_stays_beyond_the_ends() -> None:
    prior = fitted()
    measured = torch.logspace(-3, 2, len(prior.log_errors))
    between = (measured[1:] * measured[:-1]).sqrt()
    assert_close(prior.error(measured), prior.log_errors.exp(), rtol=1e-4, atol=0.0)
    halfway = (prior.log_errors[1:] + prior.log_errors[:-1]) / 2
    assert_close(prior.error(between), halfway.exp(), rtol=1e-4, atol=0.0)
    beyond = prior.error(torch.tensor([1e-5, 1e4]))
    assert_close(beyond, prior.log_errors[[0, -1]].exp())


def test_an_unfitted_mixture_counts_on_the_error_of_the_paper() -> None:
    sigma = torch.logspace(-2, 1.5, 20)
    expected = precondition(sigma, 0.5).c_out.flatten()
    assert_close(MixturePrior(mixture_edm()).error(sigma), expected, rtol=5e-3, atol=0.0)


def test_the_network_is_shown_the_noisy_image_and_the_guess() -> None:
    _, question = asked(0.8, 4)
    guess = fitted()(*question)
    assert guess.seen.shape == (4, 2, 28, 28)
    assert_close(guess.seen[:, :1], precondition(question[1], 0.5).c_in * question[0])
    assert_close(guess.seen[:, 1:], guess.x0 / 0.5)
    assert not guess.x0.requires_grad


@pytest.mark.parametrize(("spec", "kind", "shown"), [(edm(), IsotropicPrior, 1), (mixture_edm(), MixturePrior, 2)])
def test_a_process_gets_the_prior_it_names(spec: object, kind: type, shown: int) -> None:
    assert type(build_prior(spec)) is kind  # type: ignore[arg-type]
    assert images_shown(spec) == shown  # type: ignore[arg-type]


def small_model() -> Edm:
    network = EdmUNetSpec(
        kind="edm_unet", patch=2, channels=(16, 16), blocks=(1, 1), heads=1, embedding=16, dropout=0.0
    )
    built = build_diffusion(network, mixture_edm(), seed=1)
    assert isinstance(built, Edm)
    return built


def test_a_model_answers_the_guess_before_training_and_mends_it_in_units_of_its_error() -> None:
    model = small_model()
    grey = torch.randint(0, 256, (60, 28, 28), generator=generator(), dtype=torch.uint8)
    labels = torch.arange(60) % 10
    model.fit_prior(grey, labels, generator(1))
    x0 = model.encode(grey[:5])
    draw = Draw(torch.full((5,), 0.7), torch.randn(5, 1, 28, 28, generator=generator(2)))
    x = x0 + 0.7 * draw.eps
    guess = model.prior(x, draw.level, labels[:5], torch.ones(5))
    assert torch.equal(model.denoise(x, draw.level, labels[:5], torch.ones(5)), guess.x0)
    torch.nn.init.constant_(model.network.head[-1].bias, 1.0)  # type: ignore[union-attr, index, arg-type]
    assert_close(model.denoise(x, draw.level, labels[:5], torch.ones(5)), guess.x0 + guess.error)


@pytest.mark.parametrize("sigma", [0.05, 0.7, 8.0])
def test_an_untrained_loss_is_one_at_every_level(sigma: float) -> None:
    model, (x0, labels) = small_model(), smooth_images(800, 1)
    model.prior.fit(x0, labels, generator(1))
    draw = Draw(torch.full((800,), sigma), torch.randn(800, 1, 28, 28, generator=generator(2)))
    assert model.loss(x0, labels, torch.ones(800), draw).mean().item() == pytest.approx(1.0, rel=0.05)


def test_weights_carry_the_fitted_prior() -> None:
    model, other = small_model(), small_model()
    grey = torch.randint(0, 256, (60, 28, 28), generator=generator(), dtype=torch.uint8)
    model.fit_prior(grey, torch.arange(60) % 10, generator(1))
    other.load_state_dict(model.state_dict())
    x, sigma = torch.randn(2, 1, 28, 28, generator=generator(3)), torch.tensor([0.3, 3.0])
    labels, keep = torch.tensor([1, 2]), torch.tensor([1.0, 0.0])
    assert torch.equal(model.denoise(x, sigma, labels, keep), other.denoise(x, sigma, labels, keep))


def test_the_isotropic_prior_draws_what_noise_makes_of_data_of_its_spread() -> None:
    noise, places = torch.randn(4, 1, 28, 28, generator=generator()), torch.rand(4, dtype=torch.float64)
    drawn = IsotropicPrior(0.5).draw(1.2, torch.arange(4), noise, places)
    assert torch.equal(drawn, 1.3 * noise)


def test_what_a_mixture_draws_and_denoises_is_what_it_was_fitted_to() -> None:
    """With no network at all: class by class, the mean image and how much the pixels vary come out."""
    clean, labels = smooth_images(800, 1)
    prior, sigma = fitted(), 2.0
    noise, places = torch.randn(clean.shape, generator=generator(3)), torch.rand(800, dtype=torch.float64)
    drawn = prior.draw(sigma, labels, noise, places)
    assert drawn.shape == clean.shape
    for label in (0, 7):
        own = labels == label
        assert_close(drawn[own].mean(), clean[own].mean(), rtol=0.0, atol=0.05)
    assert drawn.var().item() == pytest.approx(clean.var().item() + sigma**2, rel=0.03)
