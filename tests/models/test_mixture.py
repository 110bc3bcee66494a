"""The mixture's denoiser against what Gaussians must give: Wiener filters, Bayes' rule, Tweedie's formula."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from models.mixture import GROUP, Components, GaussianMixture
from models.mixture_fit import PSEUDO_IMAGES, fit_mixture, shrunken_covariance, split_by_means
from models.pixels import PIXELS

SIGMAS = [0.02, 0.3, 2.0, 50.0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(count: int, seed: int) -> Tensor:
    """Images that vary most along their first pixels, shape (count, PIXELS)."""
    spread = torch.linspace(1.5, 0.05, PIXELS).square()
    return torch.randn(count, PIXELS, generator=generator(seed)) * spread


def fitted(components: int = 2, rank: int = 4, subspace: int = 6) -> GaussianMixture:
    labels = torch.arange(10).repeat(40)
    images = scattered(400, 1) + 0.5 * scattered(10, 2)[labels]
    mixture = GaussianMixture(components, rank, subspace)
    fit_mixture(mixture, images, labels, generator(3))
    return mixture


def noised_component(mixture: GaussianMixture, j: int, sigma: float) -> MultivariateNormal:
    """A component as a full Gaussian of the noisy images, in float64."""
    basis, u = mixture.basis.double(), mixture.directions[:, j].double()
    inside = u @ torch.diag(mixture.variances[j].double()) @ u.mT
    inside = inside + mixture.rest[j].double() * (torch.eye(len(u)) - u @ u.mT)
    outside = mixture.outside.double() * (torch.eye(PIXELS) - basis @ basis.mT)
    covariance = basis @ inside @ basis.mT + outside + sigma**2 * torch.eye(PIXELS)
    return MultivariateNormal(basis @ mixture.means[j].double(), covariance)


def log_density(mixture: GaussianMixture, x: Tensor, sigma: float, labels: list[int]) -> Tensor:
    """Logarithm of the density of noisy images under the classes named, each as likely, by full matrices."""
    wanted = [j for j, label in enumerate(mixture.classes.tolist()) if label in labels]
    shares = mixture.log_shares.double()
    scores = [noised_component(mixture, j, sigma).log_prob(x) + shares[j] for j in wanted]
    return torch.stack(scores).logsumexp(dim=0)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(("keep", "labels"), [(1.0, [4]), (0.0, list(range(10)))])
def test_denoised_images_follow_from_the_density(sigma: float, keep: float, labels: list[int]) -> None:
    """Tweedie's formula: E[x0 | x] = x + sigma^2 d ln p(x) / dx, with the class and without."""
    mixture = fitted()
    clean = scattered(5, 7).double()
    x = (clean + sigma * torch.randn(5, PIXELS, generator=generator(8))).requires_grad_()
    log_density(mixture, x, sigma, labels).sum().backward()
    assert x.grad is not None
    expected = (x + sigma**2 * x.grad).detach()
    asked = (torch.full((5,), sigma), torch.full((5,), 4), torch.full((5,), keep))
    found = mixture.denoise(x.detach().float(), *asked)
    assert found.dtype == torch.float32
    assert_close(found.double(), expected, rtol=1e-3, atol=2e-3)


def test_one_gaussian_of_full_rank_is_the_wiener_filter() -> None:
    labels, images = torch.zeros(900, dtype=torch.int64), scattered(900, 1)
    mixture = GaussianMixture(components=1, rank=PIXELS, subspace=PIXELS)
    fit_mixture(mixture, images, labels, generator())
    mean = images.double().mean(dim=0)
    covariance = (images.double() - mean).mT @ (images.double() - mean) / 900
    covariance = torch.linalg.eigh(covariance)
    kept = covariance.eigenvalues.clamp(min=1e-4)
    x = images[:3] + 0.7 * torch.randn(3, PIXELS, generator=generator(5))
    filtered = ((x.double() - mean) @ covariance.eigenvectors * (kept / (kept + 0.49))) @ covariance.eigenvectors.mT
    found = mixture.denoise(x, torch.full((3,), 0.7), torch.zeros(3, dtype=torch.int64), torch.ones(3))
    assert_close(found.double(), mean + filtered, rtol=1e-3, atol=1e-3)


def test_little_noise_leaves_the_image_and_much_noise_the_mean_of_its_class() -> None:
    mixture = fitted()
    x, label, keep = scattered(4, 9), torch.full((4,), 2), torch.ones(4)
    assert_close(mixture.denoise(x, torch.full((4,), 1e-3), label, keep), x, rtol=0.0, atol=5e-3)
    own = mixture.classes == 2
    mean = mixture.log_shares[own].exp() @ mixture.means[own] @ mixture.basis.mT
    found = mixture.denoise(x, torch.full((4,), 1e4), label, keep)
    assert_close(found, mean.expand(4, -1), rtol=0.0, atol=2e-3)


def test_the_label_decides_only_where_it_is_shown() -> None:
    mixture = fitted()
    x, sigma = scattered(1, 9).repeat(2, 1), torch.full((2,), 1.0)
    shown = mixture.denoise(x, sigma, torch.tensor([1, 7]), torch.ones(2))
    hidden = mixture.denoise(x, sigma, torch.tensor([1, 7]), torch.zeros(2))
    assert (shown[0] - shown[1]).abs().max() > 0.05
    assert_close(hidden[0], hidden[1])


def mixed(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noisy images, sigma, labels and masks: many of class 2, fewer of 7 without a label, three of 5."""
    labels, keep = torch.full((count,), 2), torch.ones(count)
    labels[:3], labels[3 : count // 3], keep[3 : count // 3] = 5, 7, 0.0
    order = torch.randperm(count, generator=generator(seed))
    return scattered(count, seed), torch.linspace(0.05, 3.0, count), labels[order], keep[order]


def test_a_trained_mixture_asks_the_components_of_each_class_alone_and_answers_alike() -> None:
    mixture, images = fitted(components=3), mixed(GROUP + 40, 5)
    seen: list[int] = []
    compare = Components._compare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Components, "_compare", lambda own, z, v: seen.append(len(own.means)) or compare(own, z, v))
        together = mixture.train().denoise(*images)
        apart = mixture.eval().denoise(*images)
    assert seen == [30, 3, 3, 3, 30]
    assert_close(apart, together, rtol=1e-5, atol=1e-5)


def test_an_answer_has_the_same_bits_whatever_the_other_images_are() -> None:
    """With the size of the default mixture, whose products of matrices are taken another way where these are small."""
    mixture = GaussianMixture(16, 48, 240).eval()
    for buffer in (mixture.means, mixture.places):
        buffer.normal_(generator=generator(1))
    x, sigma, labels, keep = mixed(120, 6)
    answers = mixture.denoise(x, sigma, labels, keep)
    order = torch.randperm(120, generator=generator(2))
    few, alike = labels[order].clone(), torch.zeros(120, dtype=torch.bool)
    alike[:7] = True
    few[~alike] = (few[~alike] + 1) % 10
    others = mixture.denoise(x[order], sigma[order], few, keep[order])
    assert torch.equal(others[alike], answers[order][alike])
    assert not torch.equal(others[keep[order] > 0.0], answers[order][keep[order] > 0.0])


def test_shares_add_up_in_every_class_and_equal_seeds_give_equal_mixtures() -> None:
    first, second = fitted(), fitted()
    for label in range(10):
        assert first.log_shares[first.classes == label].exp().sum().item() == pytest.approx(1.0)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_a_class_without_images_is_taken_for_any_garment() -> None:
    labels, images = torch.ones(60, dtype=torch.int64), scattered(60, 1)
    mixture = GaussianMixture(components=2, rank=3, subspace=5)
    fit_mixture(mixture, images, labels, generator())
    x, sigma, keep = scattered(2, 4), torch.full((2,), 5.0), torch.ones(2)
    known, unknown = (mixture.denoise(x, sigma, torch.full((2,), label), keep) for label in (1, 6))
    assert torch.isfinite(unknown).all()
    assert_close(known, unknown, rtol=0.0, atol=0.3)


def test_fewer_images_than_components_leave_components_without_a_share() -> None:
    labels, images = torch.arange(10).repeat(2), scattered(20, 1)
    mixture = GaussianMixture(components=4, rank=3, subspace=5)
    fit_mixture(mixture, images, labels, generator())
    assert mixture.log_shares.isinf().sum().item() == 20
    found = mixture.denoise(images, torch.full((20,), 0.5), labels, torch.ones(20))
    assert torch.isfinite(found).all()


def test_means_find_clusters_that_lie_apart() -> None:
    z = torch.cat([torch.randn(30, 2, generator=generator()) + shift for shift in (0.0, 50.0)])
    mixed = z[torch.randperm(60, generator=generator(1))]
    sizes = sorted(len(cluster) for cluster in split_by_means(mixed, 2, generator(2)))
    assert sizes == [30, 30]


def test_a_covariance_is_pulled_towards_the_common_one_by_its_number_of_images() -> None:
    centred, pooled = torch.tensor([[3.0, 0.0], [-3.0, 0.0]]), torch.eye(2)
    weight = PSEUDO_IMAGES / (2 + PSEUDO_IMAGES)
    expected = (1 - weight) * torch.tensor([[9.0, 0.0], [0.0, 0.0]]) + weight * pooled
    assert_close(shrunken_covariance(centred, pooled), expected)


@pytest.mark.parametrize("sigma", [0.05, 2.0])
def test_draws_have_the_mean_and_covariance_of_their_component(sigma: float) -> None:
    """The map from noise to image is m + A n, read off unit vectors: A A^T must be C + sigma^2 I."""
    mixture = fitted()
    label, component = torch.full((PIXELS,), 6), int((mixture.classes == 6).nonzero()[1])
    within = mixture.log_shares[mixture.classes == 6].exp()
    place = (within[0] + 0.5 * within[1]).double().expand(PIXELS)
    centre = mixture.draw(sigma, label[:1], torch.zeros(1, PIXELS), place[:1])
    factor = (mixture.draw(sigma, label, torch.eye(PIXELS), place) - centre).mT
    expected = noised_component(mixture, component, sigma)
    assert_close(centre[0].double(), expected.mean, rtol=0.0, atol=1e-5)
    assert_close((factor @ factor.mT).double(), expected.covariance_matrix, rtol=1e-4, atol=1e-5)


def test_components_are_chosen_by_their_share_of_the_class_asked_for() -> None:
    mixture = fitted(components=3)
    places = (torch.arange(900).double() + 0.5) / 900
    drawn = mixture.draw(1e-3, torch.full((900,), 5), torch.zeros(900, PIXELS), places)
    centres = mixture.means[mixture.classes == 5] @ mixture.basis.mT
    nearest = torch.cdist(drawn, centres).argmin(dim=1)
    shares = mixture.log_shares[mixture.classes == 5].exp()
    assert_close(torch.bincount(nearest, minlength=3) / 900, shares, rtol=0.0, atol=2 / 900)


def test_components_without_a_share_are_never_drawn() -> None:
    labels, images = torch.arange(10).repeat(2), scattered(20, 1)
    mixture = GaussianMixture(components=4, rank=3, subspace=5)
    fit_mixture(mixture, images, labels, generator())
    places = torch.tensor([0.0, 0.4999, 0.5, 1.0 - 2.0**-53], dtype=torch.float64)
    drawn = mixture.draw(0.0, torch.full((4,), 3), torch.zeros(4, PIXELS), places)
    shared = mixture.means[(mixture.classes == 3) & ~mixture.log_shares.isinf()] @ mixture.basis.mT
    assert len(shared) == 2
    assert_close(drawn, shared[[0, 0, 1, 1]])
