"""Fitting a mixture of Gaussians to the images of each class: k-means for the means, then shrunken covariances."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.embeddings import NUM_CLASSES
from models.mixture import GaussianMixture

ROUNDS = 12
"""Rounds of k-means; the means hardly move after that, and nothing depends on their resting."""
PSEUDO_IMAGES = 30.0
"""How many images the covariance within all clusters of a class counts for beside a cluster's own."""
SMALLEST_VARIANCE = 1e-4
"""Of a pixel or a direction, in units of the encoded images: far below anything that noise leaves to be seen."""


@dataclass(frozen=True, slots=True)
class Component:
    """One Gaussian in the subspace.

    Attributes:
        share: of the images of its class, above 0.
        mean: shape (R,).
        covariance: shape (R, R).
    """

    share: float
    mean: Tensor
    covariance: Tensor


@torch.no_grad()
def fit_mixture(mixture: GaussianMixture, x0: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    """Fit every class, in float64 on the CPU.

    A class without images gets the Gaussians of all images together. Components that k-means leaves without an image
    get no share.

    Args:
        mixture: changed in place.
        x0: encoded training images, shape (N, P).
        labels: int64 class per image, shape (N,).
        generator: CPU generator that picks the first means.
    """
    x0 = x0.double()
    values, vectors = torch.linalg.eigh(_second_moment(x0))
    subspace = mixture.basis.shape[1]
    basis, left = vectors[:, -subspace:], values[:-subspace]
    mixture.basis.copy_(basis)
    mixture.outside.fill_(max(SMALLEST_VARIANCE, left.mean().item() if len(left) else 0.0))
    mixture.log_shares.fill_(-torch.inf)
    z, components = x0 @ basis, len(mixture.means) // NUM_CLASSES
    for label in range(NUM_CLASSES):
        own = z[labels == label] if (labels == label).any() else z
        for place, component in enumerate(fit_class(own, components, generator), start=label * components):
            _store(mixture, place, component)


def fit_class(z: Tensor, components: int, generator: torch.Generator) -> list[Component]:
    """At most ``components`` Gaussians for the images z of one class, shape (N, R)."""
    clusters = [cluster for cluster in split_by_means(z, components, generator) if len(cluster) > 0]
    centred = [cluster - cluster.mean(dim=0) for cluster in clusters]
    pooled = _second_moment(torch.cat(centred))
    return [
        Component(len(cluster) / len(z), cluster.mean(dim=0), shrunken_covariance(rest, pooled))
        for cluster, rest in zip(clusters, centred, strict=True)
    ]


def split_by_means(z: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
    """Lloyd's k-means from random images: the images nearest to each of at most ``count`` means, some may be empty."""
    means = z[torch.randperm(len(z), generator=generator)[:count]]
    for _ in range(ROUNDS):
        nearest = torch.cdist(z, means).argmin(dim=1)
        clusters = [z[nearest == index] for index in range(len(means))]
        pairs = zip(clusters, means, strict=True)
        means = torch.stack([cluster.mean(dim=0) if len(cluster) else mean for cluster, mean in pairs])
    return clusters


def shrunken_covariance(centred: Tensor, pooled: Tensor) -> Tensor:
    """Covariance of a cluster, pulled towards that of all clusters the more, the fewer images it has.

    (n S + kappa W) / (n + kappa), the mean of an inverse Wishart posterior around W (Friedman 1989, equation 16).

    Args:
        centred: the cluster's images minus their mean, shape (n, R).
        pooled: W, shape (R, R).
    """
    return (centred.mT @ centred + PSEUDO_IMAGES * pooled) / (len(centred) + PSEUDO_IMAGES)


def _second_moment(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(dim=0)
    return centred.mT @ centred / len(rows)


def _store(mixture: GaussianMixture, place: int, component: Component) -> None:
    values, vectors = torch.linalg.eigh(component.covariance)
    values = values.clamp(min=SMALLEST_VARIANCE)
    rank = mixture.variances.shape[1]
    mixture.means[place] = component.mean.float()
    mixture.directions[:, place] = vectors[:, -rank:].float()
    mixture.places[place] = (component.mean @ vectors[:, -rank:]).float()
    mixture.variances[place] = values[-rank:].float()
    mixture.rest[place] = values[:-rank].mean().float() if len(values) > rank else SMALLEST_VARIANCE
    mixture.log_shares[place] = torch.tensor(component.share).log()
