"""The loop: learning-rate factors in closed form, updates that equal torch's own, and a stop before bad numbers."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.ddpm import Ddpm
from models.training import Batch, Learner, NonFiniteError, build_optimizers, lr_factor, train_steps
from models.training_spec import TrainingSpec
from tests.models.processes import ddpm

SPEC = TrainingSpec(
    steps=10,
    distil_steps=0,
    distilled=None,
    batch=4,
    optimizer="adam",
    lr=0.01,
    adam_betas=(0.9, 0.99),
    muon_lr=0.0,
    warmup_steps=0,
    decay="constant",
    grad_clip=1000.0,
    ema_lag=0.0,
    label_drop=0.0,
    log_every=1,
    validate_every=1,
    validation_images=1,
    checkpoint_every=1,
    snapshots=1,
    repeat=0,
)

PROCESS = ddpm(10, 0.001, 0.2)


class Scaled(nn.Module):
    """eps is guessed as a multiple of the noisy image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        return self.scale * x


def batches(diffusion: Ddpm, start: int = 0) -> Iterator[Batch]:
    for step in range(start, SPEC.steps):
        generator = torch.Generator().manual_seed(step)
        x0 = torch.rand(4, 1, 28, 28, generator=generator)
        labels, keep = torch.zeros(4, dtype=torch.int64), torch.ones(4)
        draw = diffusion.draw(4, generator)
        yield Batch(x0, labels, keep, draw, seed=step, image_seeds=labels)


def learner(diffusion: Ddpm) -> Learner:
    return Learner(diffusion, build_optimizers(diffusion, SPEC), SPEC, contextlib.nullcontext())


@pytest.mark.parametrize(
    ("warmup", "decay", "expected"),
    [
        (0, "constant", [1.0] * 10),
        (4, "constant", [0.2, 0.4, 0.6, 0.8] + [1.0] * 6),
        (0, "linear", [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        (5, "linear", [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0, 0.8, 0.6, 0.4, 0.2]),
    ],
)
def test_learning_rate_factors(warmup: int, decay: str, expected: list[float]) -> None:
    spec = replace(SPEC, warmup_steps=warmup, decay=decay)
    assert [lr_factor(step, spec) for step in range(10)] == pytest.approx(expected)


def test_a_step_equals_one_written_out_by_hand() -> None:
    ours, theirs = Ddpm(Scaled(), PROCESS), Ddpm(Scaled(), PROCESS)
    reports = list(train_steps(learner(ours), batches(ours)))
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.9, 0.99))
    losses = []
    for batch in batches(theirs):
        optimizer.zero_grad()
        loss = theirs.loss(batch.x0, batch.labels, batch.keep, batch.draw).mean()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert [report.loss for report in reports] == pytest.approx(losses, rel=1e-6)
    assert [report.step for report in reports] == list(range(1, 11))
    assert {report.images for report in reports} == {4}
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_gradients_are_clipped_to_the_global_norm() -> None:
    diffusion = Ddpm(Scaled(), PROCESS)
    optimizer = torch.optim.SGD(diffusion.parameters(), lr=1.0)
    optimizer.param_groups[0]["peak_lr"] = 1.0
    spec = replace(SPEC, grad_clip=0.001)
    before = 0.1
    clipped = Learner(diffusion, [optimizer], spec, contextlib.nullcontext())
    for report in train_steps(clipped, batches(diffusion)):
        after = next(diffusion.parameters()).item()
        assert report.grad_norm > 0.001
        assert abs(after - before) == pytest.approx(0.001, rel=1e-3)
        before = after


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_numbers_stop_before_the_update(bad: float) -> None:
    diffusion = Ddpm(Scaled(), PROCESS)

    def poisoned() -> Iterator[Batch]:
        for index, batch in enumerate(batches(diffusion)):
            yield replace(batch, x0=batch.x0 * bad) if index == 3 else batch

    steps = train_steps(learner(diffusion), poisoned())
    weights = [next(diffusion.parameters()).item() for _ in zip(range(3), steps, strict=False)]
    with pytest.raises(NonFiniteError, match="step 4: loss is") as caught:
        next(steps)
    assert caught.value.step == 4
    assert next(diffusion.parameters()).item() == weights[-1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_before_the_update(bad: float) -> None:
    """Of a loss that is: one can overflow on its way back."""
    diffusion, passes = Ddpm(Scaled(), PROCESS), itertools.count(1)
    (scale,) = diffusion.parameters()
    scale.register_hook(lambda gradient: gradient * (bad if next(passes) == 4 else 1.0))  # type: ignore[no-untyped-call]
    steps = train_steps(learner(diffusion), batches(diffusion))
    weights = [scale.item() for _ in zip(range(3), steps, strict=False)]
    with pytest.raises(NonFiniteError, match=f"step 4: gradient norm is {bad}"):
        next(steps)
    assert scale.item() == weights[-1]
