"""Distances between two sets of feature vectors: Fréchet (fitted Gaussians) and kernel mean discrepancy."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.intervals import Interval, student_interval


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and covariance of a set of feature vectors.

    Attributes:
        mean: float64, shape (D,).
        covariance: unbiased, float64, shape (D, D).
    """

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """Fit a Gaussian in float64.

    Args:
        features: at least two vectors, shape (N, D).
    """
    features = features.to(torch.float64)
    mean = features.mean(dim=0)
    centred = features - mean
    return Moments(mean, centred.mT @ centred / (len(features) - 1))


def frechet_distance(first: Moments, second: Moments) -> float:
    """Squared Fréchet distance of two Gaussians (Heusel et al. 2017, equation 6; Dowson and Landau 1982).

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)). The last trace is taken of the symmetric matrix
    (R C2 R)^(1/2) with R = C1^(1/2), which has the same eigenvalues and stays real where the covariances are singular.

    Returns:
        A non-negative number, 0 for equal Gaussians up to rounding.
    """
    root = _symmetric_root(first.covariance)
    product = root @ second.covariance @ root
    cross = torch.linalg.eigvalsh((product + product.mT) / 2).clamp_min(0.0).sqrt().sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2.0 * cross
    distance = ((first.mean - second.mean).square().sum() + spread).item()
    return max(0.0, float(distance))


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0.0).sqrt()) @ vectors.mT
    return root


def polynomial_mmd(first: Tensor, second: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel of KID (Binkowski et al. 2018, section 4).

    The kernel is k(x, y) = (x . y / D + 1)^3; pairs of a vector with itself are left out (Gretton et al. 2012,
    lemma 6), so the estimate is unbiased at any number of vectors, and may be negative.

    Args:
        first: at least two vectors, shape (N, D).
        second: at least two vectors, shape (M, D).
    """
    first, second = first.to(torch.float64), second.to(torch.float64)
    within = _mean_of_pairs(first) + _mean_of_pairs(second)
    return (within - 2.0 * _kernel(first, second).mean()).item()


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.mT / first.shape[1] + 1.0) ** 3


def _mean_of_pairs(features: Tensor) -> Tensor:
    kernel = _kernel(features, features)
    return (kernel.sum() - kernel.trace()) / (len(features) * (len(features) - 1))


def kernel_distance(
    images: Tensor, reference: Tensor, blocks: int, confidence: float, generator: torch.Generator
) -> Interval:
    """KID as the mean over disjoint blocks (Binkowski et al. 2018, section 4), with Student's interval.

    Both sets are shuffled and cut into equally many blocks; block b of one is compared with block b of the other. The
    blocks share no image, so their estimates are independent and their scatter measures the error of their mean. The
    interval says how far the figure would move with other images of either set.

    Args:
        images: shape (N, D).
        reference: shape (M, D).
        blocks: number of blocks wanted; fewer where a block would hold less than two vectors.
        confidence: probability inside, between 0 and 1.
        generator: CPU generator that shuffles.
    """
    count = max(2, min(blocks, len(images) // 2, len(reference) // 2))
    shuffled = [torch.randperm(len(rows), generator=generator).tensor_split(count) for rows in (images, reference)]
    pairs = zip(*shuffled, strict=True)
    values = torch.tensor([polynomial_mmd(images[a], reference[b]) for a, b in pairs], dtype=torch.float64)
    error = values.std().item() / math.sqrt(count)
    return student_interval(values.mean().item(), error, count - 1, confidence)


def jackknife(
    features: Tensor,
    strata: Tensor,
    statistic: Callable[[Tensor], float],
    groups: int,
    confidence: float,
    generator: torch.Generator,
) -> Interval:
    """A statistic of a stratified set with a delete-one-group jackknife interval (Wolter 2007, section 4.2).

    The set is cut into G groups, each with an equal share of every stratum, and the statistic is taken again with each
    group left out. Groups that differed in their shares would count as error what is fixed by design. With the values
    v_g, the variance is (G - 1) / G * sum (v_g - mean)^2, of G - 1 degrees of freedom. Unlike a bootstrap it
    never sees an image twice, which would shrink the fitted covariance, and every recomputation has nearly the full
    number of images, so the dependence of the Fréchet distance on that number hardly enters. The interval says how far
    the figure would move with other images from the same source; it does not cover the bias at this number of images.

    Args:
        features: at least four vectors, shape (N, D).
        strata: the stratum of each vector, such as its class, int64, shape (N,).
        statistic: maps vectors (n, D) to a number.
        groups: G at most; see :func:`even_groups`.
        confidence: probability inside, between 0 and 1.
        generator: CPU generator that shuffles.
    """
    shuffled = torch.randperm(len(features), generator=generator)
    order = shuffled[strata[shuffled].argsort(stable=True)]
    count = even_groups(strata, groups)
    parts = [order[first::count] for first in range(count)]
    left = [torch.cat([*parts[:index], *parts[index + 1 :]]) for index in range(len(parts))]
    values = torch.tensor([statistic(features[chosen]) for chosen in left], dtype=torch.float64)
    variance = (len(parts) - 1) / len(parts) * (values - values.mean()).square().sum()
    return student_interval(statistic(features), variance.sqrt().item(), len(parts) - 1, confidence)


def even_groups(strata: Tensor, most: int) -> int:
    """Into how many groups a stratified set can be cut so that each holds as many of a stratum as every other.

    Args:
        strata: the stratum of each member, int64 from 0, shape (N,).
        most: the largest number wanted.

    Returns:
        The largest that divides all strata, from half of ``most`` on; where there is none, ``most``. In either case no
        more than the smallest stratum has members.
    """
    sizes = torch.bincount(strata)
    sizes = sizes[sizes > 0]
    limit = min(most, int(sizes.min()))
    fitting = [count for count in range((limit + 1) // 2, limit + 1) if not (sizes % count).any()]
    return max(fitting, default=limit)
