"""What a model computes, it computes where it is: on torch's ``meta`` device, which like a GPU mixes with no CPU.

It lets pass what is looked up in a table on the CPU. A mixture answers as it does on a GPU, all components to each
image; its draws choose their components on the CPU.
"""

import contextlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.build import build_diffusion
from models.diffusion import Diffusion, Draw
from models.edm import Edm
from models.noise import ImageNoise
from models.sampler_spec import DiscreteSamplerSpec, SamplerSpec, SigmaSamplerSpec
from tests.tasks.small_variants import COURSE, FLAGSHIP, VARIANTS

META = torch.device("meta")


@pytest.fixture(autouse=True)
def without_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not know this device; a network asks for it only to switch it off."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def placed(variant: str) -> Diffusion:
    spec = VARIANTS[variant]
    return build_diffusion(spec.network, spec.process, seed=1).to(META).train()


def batch(model: Diffusion) -> tuple[Tensor, Tensor, Tensor, Draw]:
    draw = model.draw(4, torch.Generator().manual_seed(0))
    x0, labels = torch.empty(4, 1, 28, 28, device=META), torch.zeros(4, dtype=torch.int64, device=META)
    return x0, labels, torch.ones(4, device=META), Draw(draw.level.to(META), draw.eps.to(META))


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_and_gradients_stay_with_the_model(variant: str) -> None:
    model = placed(variant)
    losses = [model.loss(*batch(model))]
    if isinstance(model, Edm):
        labels = batch(model)[1]
        lesson = model.lesson(from_noise("unipc", 1.0, 2), torch.arange(4), labels)
        losses.append(model.distillation_loss(lesson, labels))
    for loss in losses:
        assert loss.device == META
        torch.autograd.backward(loss.mean())
    assert {parameter.grad.device for parameter in model.parameters() if parameter.grad is not None} == {META}


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_are_encoded_and_decoded_where_they_are(variant: str) -> None:
    model = placed(variant)
    encoded = model.encode(torch.empty(4, 28, 28, dtype=torch.uint8, device=META))
    assert encoded.device == model.decode(encoded).device == META


def from_noise(kind: Any, guidance: float, jump_steps: int = 1) -> SamplerSpec:
    """Over sigma a sampler that asks the prior alone above some level, and is guided between two, if at all."""
    if kind in ("ddpm", "ddim"):
        assert isinstance(COURSE.sampling, DiscreteSamplerSpec)
        return replace(COURSE.sampling, kind=kind, steps=10 if kind == "ddpm" else 4, guidance=guidance)
    assert isinstance(FLAGSHIP.sampling, SigmaSamplerSpec)
    churn = 1.0 if kind == "heun" else 0.0
    sampler = replace(FLAGSHIP.sampling, kind=kind, churn=churn, start="noise", sigma_max=20.0, guidance=guidance)
    between = (0.1, 1.0) if guidance > 1.0 else ()
    return replace(sampler, jump_steps=jump_steps, mended_below=3.0, guided_sigma=between)


@pytest.mark.parametrize(
    ("kind", "guidance"),
    [
        ("ddpm", 1.0),
        ("ddim", 2.0),
        ("heun", 1.0),
        ("dpmpp_3m", 1.0),
        ("ipndm", 1.0),
        ("unipc", 2.0),
    ],
)
def test_samples_are_drawn_where_the_model_and_the_labels_are(kind: str, guidance: float) -> None:
    model = placed("course" if kind in ("ddpm", "ddim") else "flagship")
    labels = torch.zeros(4, dtype=torch.int64, device=META)
    for step in model.sample(from_noise(kind, guidance), ImageNoise(range(4)), labels):
        assert step.x.device == step.x0.device == META
