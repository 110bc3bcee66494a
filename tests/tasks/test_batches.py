"""Every epoch shows every image once, in an order that is a function of (seed, step)."""

from dataclasses import replace

import pytest
import torch

from models.build import build_diffusion
from tasks.batches import BatchOrder, training_batches
from tasks.dataset import Split
from tests.tasks.small_variants import COURSE, FLAGSHIP, SEED, TRAINING

CPU = torch.device("cpu")


def test_an_epoch_is_a_permutation_and_the_next_one_another() -> None:
    order = BatchOrder(count=20, batch=5, seed=SEED, device=CPU)
    epochs = [torch.cat([order.indices(epoch * 4 + step) for step in range(4)]) for epoch in range(2)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(20))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_the_order_does_not_depend_on_where_reading_began() -> None:
    whole = BatchOrder(count=23, batch=5, seed=SEED, device=CPU)
    expected = [whole.indices(step).tolist() for step in range(9)]
    resumed = BatchOrder(count=23, batch=5, seed=SEED, device=CPU)
    assert [resumed.indices(step).tolist() for step in range(6, 9)] == expected[6:]


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    order = BatchOrder(count=7, batch=10, seed=SEED, device=CPU)
    assert [sorted(order.indices(step).tolist()) for step in range(2)] == [list(range(7))] * 2


def test_the_order_lies_where_the_images_do() -> None:
    meta = torch.device("meta")
    assert BatchOrder(count=7, batch=2, seed=SEED, device=meta).indices(1).device == meta


def test_a_resumed_stream_repeats_the_unbroken_one() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 28, 28), generator=generator).to(torch.uint8)
    split = Split(images, torch.arange(40) % 10)
    diffusion = build_diffusion(COURSE.network, COURSE.process, seed=1)
    whole = list(training_batches(diffusion, split, TRAINING, SEED, 0, CPU))
    resumed = list(training_batches(diffusion, split, TRAINING, SEED, 7, CPU))
    assert len(whole) == TRAINING.steps
    assert len(resumed) == TRAINING.steps - 7
    for ours, theirs in zip(resumed, whole[7:], strict=True):
        pairs = [(ours.x0, theirs.x0), (ours.keep, theirs.keep), (ours.draw.eps, theirs.draw.eps)]
        for left, right in pairs:
            torch.testing.assert_close(left, right, rtol=0, atol=0)
        assert ours.seed == theirs.seed


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_labels_are_hidden_as_often_as_asked(share: float) -> None:
    split = Split(torch.zeros(500, 28, 28, dtype=torch.uint8), torch.zeros(500, dtype=torch.int64))
    spec = replace(TRAINING, batch=500, steps=20, label_drop=share)
    diffusion = build_diffusion(COURSE.network, COURSE.process, seed=1)
    batches = training_batches(diffusion, split, spec, SEED, 0, CPU)
    hidden = 1.0 - torch.cat([batch.keep for batch in batches]).mean().item()
    # Five standard deviations of a share of 10,000 draws
    assert hidden == pytest.approx(share, abs=5 * (share * (1 - share) / 10_000) ** 0.5)


def test_every_image_has_a_seed_of_its_own_for_a_teacher() -> None:
    split = Split(torch.zeros(512, 28, 28, dtype=torch.uint8), torch.zeros(512, dtype=torch.int64))
    diffusion = build_diffusion(FLAGSHIP.network, FLAGSHIP.process, SEED)
    spec = replace(FLAGSHIP.training, batch=256, warmup_steps=0, steps=4)
    first = torch.cat([batch.image_seeds for batch in training_batches(diffusion, split, spec, SEED, 0, CPU)])
    assert first.min() >= 0
    assert first.max() < 2**32
    assert len(first.unique()) == 1024
    again = [batch.image_seeds for batch in training_batches(diffusion, split, spec, SEED, 2, CPU)]
    assert torch.equal(torch.cat(again), first[512:])
