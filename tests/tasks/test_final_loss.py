"""Where a training loss ends: a mean that weighs every step alike, and the error of that mean."""

import itertools

import pytest
import torch

from tasks.final_loss import final_loss


def history(*rows: tuple[int, float]) -> list[dict[str, float]]:
    return [{"step": step, "train_loss": loss} for step, loss in rows]


def test_rows_of_the_last_tenth_alone_are_counted() -> None:
    rows = history((1, 9.0), (80, 5.0), (90, 3.0), (95, 0.2), (100, 0.4))
    found = final_loss(rows)
    assert found["train_loss_final"] == pytest.approx(0.3)
    # Two means of equal weight: their standard deviation, 0.1 * sqrt(2), by the root of two
    assert found["train_loss_final_error"] == pytest.approx(0.1)
    assert found["train_loss_final_degrees"] == 1


def test_steps_that_had_another_loss_do_not_count() -> None:
    rows = history((80, 5.0), (90, 3.0), (95, 0.2), (100, 0.4))
    assert final_loss(rows, since=90) == final_loss(rows)
    assert final_loss(rows, since=95)["train_loss_final"] == 0.4


def test_a_row_counts_by_its_steps() -> None:
    """Of the last hundred steps ninety lost 0.1, and ten 1.0."""
    found = final_loss(history((900, 5.0), (990, 0.1), (1000, 1.0)))
    assert found["train_loss_final"] == pytest.approx(0.19)


def test_the_error_is_that_of_the_mean_over_single_steps() -> None:
    """However many steps a row tells of, the error estimates how far the mean of all would move with other batches."""
    generator = torch.Generator().manual_seed(3)
    losses = torch.randn(2000, 100, generator=generator, dtype=torch.float64)
    cuts = [0, 10, 20, 40, 50, 75, 100]
    errors, means = [], []
    for batches in losses:
        late = [(900 + end, float(batches[begin:end].mean())) for begin, end in itertools.pairwise(cuts)]
        found = final_loss(history((900, 7.0), *late))
        errors.append(found["train_loss_final_error"] ** 2)
        means.append(found["train_loss_final"])
    assert sum(errors) / len(errors) == pytest.approx(1 / 100, rel=0.05)
    torch.testing.assert_close(torch.tensor(means), losses.mean(dim=1).float(), rtol=0, atol=1e-6)


def test_of_a_coarse_history_the_last_row_is_taken_and_nothing_said_of_its_error() -> None:
    found = final_loss(history((1, 2.0), (50, 1.0), (100, 0.5)))
    assert found == {"train_loss_final": 0.5, "train_loss_final_error": 0.0, "train_loss_final_degrees": 0}
