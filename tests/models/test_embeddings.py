import math

import pytest
import torch
from torch.testing import assert_close

from models.embeddings import (
    NUM_CLASSES,
    VectorEmbedding,
    octave_frequencies,
    one_hot,
    position_frequencies,
    sinusoidal,
)
from tasks import labels


def test_position_embedding_equals_the_reference_of_ddpm() -> None:
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    position = torch.tensor([0.0, 0.5, 7.0, 99.0])
    expected = embeddings.get_timestep_embedding(position, 32, downscale_freq_shift=1)
    assert_close(sinusoidal(position, position_frequencies(32)), expected)


def test_position_embedding_of_four_features_by_hand() -> None:
    found = sinusoidal(torch.tensor([2.0]), position_frequencies(4))
    expected = [math.sin(2.0), math.sin(2e-4), math.cos(2.0), math.cos(2e-4)]
    assert_close(found, torch.tensor([expected]))


def test_octave_periods_reach_from_eight_down_to_an_eighth() -> None:
    periods = 2.0 * math.pi / octave_frequencies(14)
    assert_close(periods, torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125]))


def test_every_frequency_gives_a_point_on_the_unit_circle() -> None:
    features = sinusoidal(torch.linspace(-1.2, 0.9, 50), octave_frequencies(32))
    sine, cosine = features.chunk(2, dim=1)
    assert_close(sine.square() + cosine.square(), torch.ones(50, 16))


def test_one_hot_rows_select_their_class() -> None:
    found = one_hot(torch.tensor([3, 0, 9]))
    assert found.dtype == torch.float32
    assert_close(found, torch.eye(10)[[3, 0, 9]])


def test_the_number_of_classes_is_that_of_the_data() -> None:
    assert NUM_CLASSES == labels.NUM_CLASSES


def test_vector_embedding_is_linear_gelu_linear_unflattened() -> None:
    embedding = VectorEmbedding(6, 5)
    first, second = (layer for layer in embedding.layers if isinstance(layer, torch.nn.Linear))
    vector = torch.linspace(-2.0, 2.0, 18).reshape(3, 6)
    hidden = vector @ first.weight.T + first.bias
    hidden = 0.5 * hidden * (1.0 + torch.erf(hidden / math.sqrt(2.0)))
    found = embedding(vector)
    assert found.shape == (3, 5, 1, 1)
    assert_close(found[:, :, 0, 0], hidden @ second.weight.T + second.bias)
