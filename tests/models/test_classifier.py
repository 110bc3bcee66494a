"""The critic's network: sizes, normalised features, and randomness from the generator passed in alone."""

import pytest
import torch
import torch.nn.functional as F

from models.classifier import Classifier
from models.layers import reseed_dropout

CHANNELS = (8, 16, 24)


def small(seed: int = 3, dropout: float = 0.5) -> Classifier:
    return Classifier(CHANNELS, 12, 10, dropout, torch.Generator().manual_seed(seed))


def images(count: int = 64) -> torch.Tensor:
    return torch.rand((count, 1, 28, 28), generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0


def test_returns_logits_and_features_of_the_configured_sizes() -> None:
    logits, features = small().eval()(images(5))
    assert logits.shape == (5, 10)
    assert features.shape == (5, 12)


def test_number_of_parameters_is_that_of_the_layers() -> None:
    kernels = 9 * (1 * 8 + 8 * 16 + 16 * 24 + 24 * 24)
    normalisations = 2 * (8 + 16 + 24 + 24)
    ends = 24 * 12 + 12 * 10 + 10
    assert sum(p.numel() for p in small().parameters()) == kernels + normalisations + ends


def test_equal_generators_give_equal_weights_and_other_ones_others() -> None:
    first, again, other = small(3).state_dict(), small(3).state_dict(), small(4).state_dict()
    for name, value in first.items():
        torch.testing.assert_close(value, again[name], rtol=0, atol=0)
    assert not torch.equal(first["project.weight"], other["project.weight"])


def test_building_and_training_leave_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    classifier = small().train()
    classifier(images())[0].sum().backward()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_features_of_a_training_batch_have_mean_0_and_variance_1() -> None:
    features = small().train().features(images(256))
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(12), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.var(dim=0, correction=0), torch.ones(12), rtol=0, atol=2e-3)


def test_logits_are_the_head_on_the_positive_part_of_the_features() -> None:
    classifier = small().eval()
    logits, features = classifier(images(7))
    expected = F.relu(features) @ classifier.head.weight.mT + classifier.head.bias
    torch.testing.assert_close(logits, expected)


def test_an_image_is_seen_alike_in_any_batch() -> None:
    classifier = small().eval()
    whole = classifier(images(16))[1]
    torch.testing.assert_close(classifier(images(16)[3:4])[1], whole[3:4], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("second", "same"), [(5, True), (6, False)])
def test_dropout_repeats_from_its_seed(second: int, same: bool) -> None:
    classifier = small().train()
    features = images(8).flatten(1)[:, :12]
    reseed_dropout(classifier, 5)
    first = classifier.logits(features)
    reseed_dropout(classifier, second)
    assert torch.equal(classifier.logits(features), first) is same
