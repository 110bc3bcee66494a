"""CLIP's arithmetic against closed forms, torch's own losses and scipy's rank statistics."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from models.similarity import (
    class_embeddings,
    contrastive_loss,
    cosines,
    own_class_cosines,
    prompt_probabilities,
    roc_auc,
)


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def test_cosines_are_torchs_cosine_similarity() -> None:
    images, texts = unit(5, 8), unit(3, 8, seed=1)
    torch.testing.assert_close(cosines(images, texts), F.cosine_similarity(images[:, None], texts[None], dim=-1))


def test_probabilities_of_two_prompts_are_the_logistic_of_the_margin() -> None:
    similarity = torch.tensor([[0.3, 0.28], [0.1, 0.4]], dtype=torch.float64)
    expected = torch.sigmoid(100.0 * (similarity[:, 0] - similarity[:, 1]))
    torch.testing.assert_close(prompt_probabilities(similarity, 100.0)[:, 0], expected)


def test_class_embeddings_are_unit_means() -> None:
    prompts = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [0.0, -1.0]]])
    half = math.sqrt(0.5)
    torch.testing.assert_close(class_embeddings(prompts), torch.tensor([[half, half], [0.0, -1.0]]))


def test_own_class_cosines_pick_the_rows_of_the_label() -> None:
    images, prompts, labels = unit(4, 6), unit(10, 3, 6, seed=1), torch.tensor([9, 0, 3, 3])
    expected = torch.stack(
        [cosines(image[None], prompts[label])[0] for image, label in zip(images, labels, strict=True)]
    )
    torch.testing.assert_close(own_class_cosines(images, prompts, labels), expected)


def test_one_to_one_pairs_give_clips_own_loss() -> None:
    """Radford et al. 2021, figure 3: both cross-entropies with the diagonal as the answer."""
    images, texts, scale = unit(6, 8), unit(6, 8, seed=1), torch.tensor(20.0, dtype=torch.float64)
    logits, answers = scale * images @ texts.T, torch.arange(6)
    expected = (F.cross_entropy(logits, answers) + F.cross_entropy(logits.T, answers)) / 2
    torch.testing.assert_close(contrastive_loss(images, texts, torch.eye(6, dtype=torch.float64), scale), expected)


def test_shared_captions_in_closed_form() -> None:
    """Where all logits are equal, an image's term is ln(captions), a caption's is ln(images), whatever the weights."""
    images, captions = unit(1, 4).expand(3, 4), unit(1, 4, seed=1).expand(5, 4)
    weights = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0.2, 0]], dtype=torch.float64)
    loss = contrastive_loss(images, captions, weights, torch.tensor(10.0))
    assert loss.item() == pytest.approx((math.log(5) + math.log(3)) / 2)


def test_loss_is_least_where_true_pairs_agree() -> None:
    captions = torch.eye(4, dtype=torch.float64)
    weights = torch.eye(4, dtype=torch.float64)[[0, 0, 1, 2, 3]]
    scale = torch.tensor(30.0, dtype=torch.float64)
    images = captions[[0, 0, 1, 2, 3]]
    right = contrastive_loss(images, captions, weights, scale)
    # A caption shared by two images splits its target between them: half of (0 + ln 2), averaged over four captions.
    assert right.item() == pytest.approx(math.log(2) / 4 / 2, abs=1e-10)
    assert contrastive_loss(images.roll(1, dims=0), captions, weights, scale) > right + 1.0


def test_caption_without_image_is_only_a_wrong_answer() -> None:
    images, captions, scale = unit(3, 8), unit(4, 8, seed=1), torch.tensor(5.0, dtype=torch.float64)
    weights = torch.eye(4, dtype=torch.float64)[:3]
    logits, answers = scale * images @ captions.T, torch.arange(3)
    expected = (F.cross_entropy(logits, answers) + F.cross_entropy(logits[:, :3].T, answers)) / 2
    torch.testing.assert_close(contrastive_loss(images, captions, weights, scale), expected)


@pytest.mark.parametrize("levels", [3, 1_000_000], ids=["ties", "distinct"])
def test_auc_is_the_mann_whitney_statistic(levels: int) -> None:
    generator = torch.Generator().manual_seed(2)
    positive = torch.randint(levels, (41,), generator=generator) + levels // 3
    negative = torch.randint(levels, (67,), generator=generator)
    expected = stats.mannwhitneyu(positive.numpy(), negative.numpy()).statistic / (41 * 67)
    assert roc_auc(positive, negative) == pytest.approx(expected, rel=1e-12)


def test_auc_at_its_ends_and_in_the_middle() -> None:
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0, 4.0])
    assert roc_auc(high, low) == 1.0
    assert roc_auc(low, high) == 0.0
    assert roc_auc(torch.ones(3), torch.ones(5)) == 0.5
