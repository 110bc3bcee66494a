"""The images of each class as a mixture of Gaussians, whose optimal denoiser is known in closed form.

Noise of standard deviation sigma turns a component N(m, C) into N(m, C + sigma^2 I). Given a noisy image x, the clean
image that one component expects is its Wiener filter m + C (C + sigma^2 I)^-1 (x - m), and that of the mixture is the
mean of these, weighted by how well each component explains x. All components live in the principal subspace of the
images and share one variance outside it. Shapes: B images of P pixels, R dimensions of the subspace, J components of
all classes together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.embeddings import NUM_CLASSES
from models.pixels import PIXELS

ALL_CLASSES = NUM_CLASSES
"""What stands for the class of an image whose label is hidden."""
GROUP = 50
"""Images of a class that a CPU answers together, filled up where there are less, since the digits of a product of
matrices depend on its shape, and those of an image must not depend on its companions. 250 of one class take two fifths
of the time that all components would."""


class GaussianMixture(nn.Module):
    """Gaussians of low rank for every class, in a subspace that all share.

    The covariance of a component within the subspace is ``variances`` along its own ``directions`` and ``rest`` across
    them. Before :func:`models.mixture_fit.fit_mixture` it is one standard normal distribution.

    Args:
        components: Gaussians a class.
        rank: directions of a component.
        subspace: R, at least ``rank``.

    Attributes:
        basis: orthonormal columns, shape (P, R).
        means: shape (J, R).
        directions: orthonormal for each component, shape (R, J, rank).
        places: of each mean along its component's directions, shape (J, rank).
        variances: shape (J, rank).
        rest: shape (J,).
        outside: variance across the subspace, a single number.
        log_shares: logarithm of each component's share of its class, shape (J,).
    """

    basis: Tensor
    means: Tensor
    directions: Tensor
    places: Tensor
    variances: Tensor
    rest: Tensor
    outside: Tensor
    log_shares: Tensor
    classes: Tensor

    def __init__(self, components: int, rank: int, subspace: int) -> None:
        super().__init__()
        count = NUM_CLASSES * components
        self.register_buffer("basis", torch.eye(PIXELS, subspace))
        self.register_buffer("means", torch.zeros(count, subspace))
        self.register_buffer("directions", torch.eye(subspace, rank)[:, None].repeat(1, count, 1))
        self.register_buffer("places", torch.zeros(count, rank))
        self.register_buffer("variances", torch.ones(count, rank))
        self.register_buffer("rest", torch.ones(count))
        self.register_buffer("outside", torch.ones(()))
        self.register_buffer("log_shares", torch.zeros(count))
        classes = torch.arange(NUM_CLASSES).repeat_interleave(components)
        self.register_buffer("classes", classes, persistent=False)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        """The expected clean images E[x0 | x, class].

        Args:
            x: noisy images, shape (B, P).
            sigma: their noise level, above 0, shape (B,).
            labels: int64 class per image, shape (B,).
            keep: 1 to use the label; 0 for the mixture of all classes, each as likely; shape (B,).

        Returns:
            Shape (B, P), float32 whatever the precision of the networks.
        """
        with torch.autocast(x.device.type, enabled=False):
            x, variance = x.float(), sigma.float().square()[:, None]
            z = x @ self.basis
            mean = self._expected(z, variance, torch.where(keep > 0.0, labels, ALL_CLASSES))
            across = self.outside / (self.outside + variance)
            return (mean - across * z) @ self.basis.mT + across * x

    def draw(self, sigma: float, labels: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        """Noisy images from the mixture of their class, which is in closed form at every noise level.

        A component is chosen by its share, and N(m, C + sigma^2 I) drawn by its symmetric root.

        Args:
            sigma: their noise level.
            labels: int64 class per image, shape (B,).
            noise: standard normal, shape (B, P).
            places: which component it is: uniform from 0 up to 1, on the CPU, shape (B,).

        Returns:
            Shape (B, P), float32 whatever the precision of the networks.
        """
        with torch.autocast(noise.device.type, enabled=False):
            chosen, variance = self._chosen(labels, places), sigma**2
            z = noise @ self.basis
            # One copy for each image; indexing by a tensor would make a second to bring the view's axes in order
            directions = self.directions.movedim(1, 0).index_select(0, chosen)
            along = torch.bmm(z[:, None], directions).squeeze(1)
            across = (self.rest[chosen] + variance).sqrt()[:, None]
            longer = ((self.variances[chosen] + variance).sqrt() - across) * along
            drawn = self.means[chosen] + across * z + torch.bmm(directions, longer[:, :, None]).squeeze(2)
            outside = (self.outside + variance).sqrt()
            return (drawn - outside * z) @ self.basis.mT + outside * noise

    def _chosen(self, labels: Tensor, places: Tensor) -> Tensor:
        """Which component of its class each place falls into, shape (B,)."""
        shares = self.log_shares.cpu().double().exp().view(NUM_CLASSES, -1).cumsum(dim=1)
        own = shares[labels.cpu()]
        within = torch.searchsorted(own, places[:, None] * own[:, -1:], right=True).squeeze(1)
        return labels * shares.shape[1] + within.to(labels.device)

    def _expected(self, z: Tensor, variance: Tensor, told: Tensor) -> Tensor:
        """E[z0 | z, class] in the subspace, shape (B, R); ``told`` is a class, or ALL_CLASSES where it is hidden.

        A class has a tenth of the components. To look at no others pays where images are drawn, many of one class, and
        neither in training, whose batches hold a few images of each, nor on a GPU, which likes large products.
        """
        if self.training or z.is_cuda:
            barred = (self.classes != told[:, None]) & (told[:, None] != ALL_CLASSES)
            return self._components(ALL_CLASSES).expected(z, variance, barred)
        mean = torch.empty_like(z)
        for label in torch.unique(told).tolist():
            components = self._components(label)
            for rows in (told == label).nonzero().squeeze(1).split(GROUP):
                filled = rows[torch.arange(GROUP).clamp(max=len(rows) - 1)]
                mean[rows] = components.expected(z[filled], variance[filled])[: len(rows)]
        return mean

    def _components(self, label: int) -> "Components":
        """Those of a class, or all."""
        count = len(self.means) // NUM_CLASSES
        own = slice(None) if label == ALL_CLASSES else slice(label * count, (label + 1) * count)
        parts = (self.places[own], self.variances[own], self.rest[own], self.log_shares[own])
        return Components(self.means[own], self.directions[:, own].flatten(1), *parts)


@dataclass(frozen=True, slots=True)
class Components:
    """J Gaussians of a mixture within its subspace; the attributes are those of :class:`GaussianMixture`.

    The directions of all are side by side, shape (R, J * rank).
    """

    means: Tensor
    directions: Tensor
    places: Tensor
    variances: Tensor
    rest: Tensor
    log_shares: Tensor

    def expected(self, z: Tensor, variance: Tensor, barred: Tensor | None = None) -> Tensor:
        """E[z0 | z], the mean of the Wiener filters by how well each component explains z.

        Args:
            z: noisy images in the subspace, shape (B, R).
            variance: sigma^2 of each, shape (B, 1).
            barred: components that are out of the question, shape (B, J); None for none.

        Returns:
            Shape (B, R).
        """
        excess, scores = self._compare(z, variance)
        if barred is not None:
            scores = scores.masked_fill(barred, -torch.inf)
        weights = scores.softmax(dim=1)
        kept = self.rest / (self.rest + variance)
        drawn = weights * (1.0 - kept)
        mean = drawn @ self.means + (weights * kept).sum(dim=1, keepdim=True) * z
        return mean + (excess * drawn[:, :, None]).flatten(1) @ self.directions.mT

    def _along(self, z: Tensor) -> Tensor:
        """How far z (B, R) lies from each mean along the component's directions, shape (B, J, rank)."""
        distances: Tensor = torch.addmm(self.places.flatten(), z, self.directions, beta=-1.0)
        return distances.view(len(z), *self.places.shape)

    def _compare(self, z: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """How each component sees z: across its directions all is alike, so only what these add is summed over them.

        With v the variance along a direction and r the ``rest``, the gain v / (v + sigma^2) of the Wiener filter there
        exceeds that across by (v - r) / (v + sigma^2) * sigma^2 / (r + sigma^2), and the energy is less by the first
        factor times the squared distance over r + sigma^2.

        Returns:
            Distances along the directions times (v - r) / (v + sigma^2), shape (B, J, rank), and the logarithm of the
            component's density at z up to what all have in common, shape (B, J).
        """
        along = self._along(z)
        inner, outer = self.variances + variance[:, :, None], self.rest + variance
        excess = (self.variances - self.rest[:, None]) * along / inner
        distance = z.square().sum(dim=1, keepdim=True) - 2.0 * z @ self.means.mT + self.means.square().sum(dim=1)
        energy = (distance - (excess * along).sum(dim=2)) / outer
        volume = inner.log().sum(dim=2) + (len(self.directions) - along.shape[2]) * outer.log()
        return excess, self.log_shares - 0.5 * (energy + volume)
