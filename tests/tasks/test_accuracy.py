"""Accuracies and confusion against counts done by hand."""

import pytest
import torch

from models.intervals import wilson
from tasks.accuracy import accuracies, confusion

LABELS = torch.arange(10).repeat_interleave(4)


def test_accuracies_are_shares_of_hits_in_all_and_by_class() -> None:
    predicted = LABELS.clone()
    predicted[:3] = torch.tensor([6, 6, 2])  # three T-shirts missed
    found = accuracies(predicted, LABELS, 0.95)
    assert found["accuracy"]["value"] == pytest.approx(37 / 40)
    assert found["accuracy"] == wilson(37, 40, 0.95).to_json()
    assert found["per_class"]["t-shirt"] == wilson(1, 4, 0.95).to_json()
    assert found["per_class"]["ankle-boot"] == wilson(4, 4, 0.95).to_json()
    assert list(found["per_class"])[0::9] == ["t-shirt", "ankle-boot"]


def test_confusion_has_a_row_for_every_true_class() -> None:
    predicted = LABELS.clone()
    predicted[:3] = torch.tensor([6, 6, 2])
    table = confusion(predicted, LABELS)
    expected = torch.eye(10, dtype=torch.float64)
    expected[0] = torch.tensor([0.25, 0, 0.25, 0, 0, 0, 0.5, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(table, expected)
