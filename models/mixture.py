"""The images of each class as a mixture of Gaussians, whose optimal denoiser is known in closed form.

Noise of standard deviation sigma turns a component N(m, C) into N(m, C + sigma^2 I). Given a noisy image x, the clean
image that one component expects is its Wiener filter m + C (C + sigma^2 I)^-1 (x - m), and that of the mixture is the
mean of these, weighted by how well each component explains x. All components live in the principal subspace of the
images and share one variance outside it. Shapes: B images of P pixels, R dimensions of the subspace, J components of
all classes together.
"""

import torch
from torch import Tensor, nn

from models.embeddings import NUM_CLASSES
from models.pixels import PIXELS


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
        variances: shape (J, rank).
        rest: shape (J,).
        outside: variance across the subspace, a single number.
        log_shares: logarithm of each component's share of its class, shape (J,).
    """

    basis: Tensor
    means: Tensor
    directions: Tensor
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
            along = self._along(z)
            weights = self._responsibilities(z, along, variance, self._hidden(labels, keep))
            kept = self.rest / (self.rest + variance)
            gains = self.variances / (self.variances + variance[:, :, None]) - kept[:, :, None]
            mean = (weights * (1.0 - kept)) @ self.means + (weights * kept).sum(dim=1, keepdim=True) * z
            mean = mean + (weights[:, :, None] * gains * along).flatten(1) @ self.directions.flatten(1).mT
            across = self.outside / (self.outside + variance)
            return (mean - across * z) @ self.basis.mT + across * x

    def _along(self, z: Tensor) -> Tensor:
        """How far z (B, R) lies from each mean along the component's directions, shape (B, J, rank)."""
        places = torch.einsum("jr,rjk->jk", self.means, self.directions)
        distances: Tensor = (z @ self.directions.flatten(1)).view(len(z), *places.shape) - places
        return distances

    def _responsibilities(self, z: Tensor, along: Tensor, variance: Tensor, hidden: Tensor) -> Tensor:
        """How likely each component is the one that z came from, shape (B, J); what lies outside is common to all."""
        squares = along.square()
        distance = z.square().sum(dim=1, keepdim=True) - 2.0 * z @ self.means.mT + self.means.square().sum(dim=1)
        inner, outer = self.variances + variance[:, :, None], self.rest + variance
        energy = (squares / inner).sum(dim=2) + (distance - squares.sum(dim=2)) / outer
        volume = inner.log().sum(dim=2) + (len(self.directions) - squares.shape[2]) * outer.log()
        scores = self.log_shares - 0.5 * (energy + volume)
        return scores.masked_fill(hidden, -torch.inf).softmax(dim=1)

    def _hidden(self, labels: Tensor, keep: Tensor) -> Tensor:
        """Which components are out of the question: those of other classes where the label is shown, shape (B, J)."""
        return (self.classes != labels[:, None]) & (keep[:, None] > 0.0)
