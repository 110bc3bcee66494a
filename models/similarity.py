"""The arithmetic of CLIP on given embeddings: similarities, probabilities, the training loss, and ranking quality."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosines(images: Tensor, texts: Tensor) -> Tensor:
    """Cosine of every image with every text.

    Args:
        images: unit vectors, shape (N, D).
        texts: unit vectors, shape (M, D).

    Returns:
        Cosines in [-1, 1], shape (N, M).
    """
    return images @ texts.T


def prompt_probabilities(similarity: Tensor, logit_scale: float) -> Tensor:
    """How a fixed set of prompts shares out an image (Radford et al. 2021, section 3.1.2).

    Args:
        similarity: cosines of the images with the prompts, shape (N, P).
        logit_scale: inverse temperature, positive; 100 in the published models.

    Returns:
        Softmax of ``logit_scale * similarity`` over the prompts, shape (N, P).
    """
    return torch.softmax(logit_scale * similarity, dim=-1)


def class_embeddings(prompts: Tensor) -> Tensor:
    """One text vector a class: the mean of its prompts' unit vectors, made a unit vector (Radford et al. 2021).

    Args:
        prompts: unit vectors, shape (C, P, D).

    Returns:
        Unit vectors, shape (C, D).
    """
    return F.normalize(prompts.mean(dim=1), dim=-1)


def own_class_cosines(images: Tensor, prompts: Tensor, labels: Tensor) -> Tensor:
    """Cosine of every image with the prompts of its own class.

    Args:
        images: unit vectors, shape (N, D).
        prompts: unit vectors, shape (C, P, D).
        labels: class of each image, shape (N,).

    Returns:
        Cosines, shape (N, P).
    """
    return torch.einsum("nd,npd->np", images, prompts[labels])


def contrastive_loss(images: Tensor, captions: Tensor, weights: Tensor, logit_scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy when captions are shared between images.

    Radford et al. 2021, figure 3, pair each image with one caption of the batch. Here the captions are the distinct
    ones of a small bank, an image may have several true captions and a caption several true images, so each direction
    has the weights of the pairs, made to sum to 1, as its targets (as in Khosla et al. 2020). Captions without an image
    in the batch take part only as wrong answers. With one-to-one pairs this is CLIP's own loss.

    Args:
        images: unit vectors, shape (B, D).
        captions: unit vectors, shape (M, D).
        weights: how far a caption is true of an image, not negative, shape (B, M); no row is all zero.
        logit_scale: inverse temperature, a positive scalar.

    Returns:
        The mean of the two directions, a scalar.
    """
    logits = logit_scale * cosines(images, captions)
    used = weights.any(dim=0)
    by_image = _cross_entropy(logits, weights)
    by_caption = _cross_entropy(logits.T[used], weights.T[used])
    return (by_image + by_caption) / 2


def _cross_entropy(logits: Tensor, weights: Tensor) -> Tensor:
    return F.cross_entropy(logits, weights / weights.sum(dim=1, keepdim=True))


def roc_auc(positive: Tensor, negative: Tensor) -> float:
    """Probability that a positive scores above a negative, ties counting half: the area under the ROC curve.

    The Mann-Whitney statistic from ranks, in which equal scores share their mean rank (Hanley and McNeil 1982).

    Args:
        positive: scores that should be high, shape (P,).
        negative: scores that should be low, shape (N,).

    Returns:
        A number from 0 to 1; 0.5 where the scores say nothing.
    """
    scores = torch.cat([positive, negative])
    _, group, sizes = torch.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = sizes.cumsum(0).to(torch.float64) - (sizes.to(torch.float64) - 1.0) / 2.0
    rank_sum = float(mean_rank[group[: len(positive)]].sum())
    above = rank_sum - len(positive) * (len(positive) + 1) / 2
    return above / (len(positive) * len(negative))
