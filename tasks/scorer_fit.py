"""Fitting a small CLIP model to captioned garments of the training split.

It is fitted in float32 whatever ``compute.precision`` says, so that no score shifts with what a machine is fast at.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.muon import Muon
from models.similarity import contrastive_loss
from tasks.captions import caption_bank, caption_weights
from tasks.clip_encoder import Preprocessing, build_model, tokenize
from tasks.damage import damaged, draw_damage
from tasks.dataset import Split
from tasks.errors import ConfigError, DivergedError
from tasks.labels import IMAGE_SIZE
from tasks.params import Compute, Scorer
from tasks.progress import track
from tasks.reproducibility import chosen_device
from tasks.seeds import derived_seed, torch_generator

HEAD_WIDTH = 32
TEXT_WIDTH = 32  # the vocabulary has 49,408 tokens, so this alone decides the size of the file
TEXT_HEADS = 2
LONGEST_TEXT = 77
LARGEST_SCALE = 100.0
BETAS = (0.9, 0.98)
MUON_RATIO = 10.0
WARMUP_SHARE = 0.05
GRAD_CLIP = 1.0


def model_settings(scorer: Scorer) -> dict[str, Any]:
    """The architecture as open_clip describes it: a ViT on 28x28 pixels and a one-layer text transformer.

    The text context is as long as the longest caption.

    Raises:
        ConfigError: two captions are the same to the tokenizer, so no model could tell them apart.
    """
    tokens = tokenize(caption_bank(scorer), LONGEST_TEXT)
    if len(torch.unique(tokens, dim=0)) < len(tokens):
        what = "have two captions that read the same, or alike for 77 tokens"
        raise ConfigError(
            "scorer", f"the prompts {what}", "forty different captions", "change a prompt or a class word"
        )
    fit = scorer.fit
    vision = {
        "image_size": IMAGE_SIZE,
        "patch_size": fit.patch,
        "width": fit.width,
        "layers": fit.layers,
        "head_width": HEAD_WIDTH,
        "pool_type": "avg",
    }
    length = int((tokens != 0).sum(dim=1).max())
    text = {"context_length": length, "width": TEXT_WIDTH, "heads": TEXT_HEADS, "layers": 1}
    return {"embed_dim": fit.embedding, "vision_cfg": vision, "text_cfg": text}


def pixel_scaling(split: Split) -> Preprocessing:
    """The preprocessing that gives the split's pixels mean 0 and variance 1."""
    levels = torch.bincount(split.images.flatten().to(torch.int64), minlength=256).to(torch.float64)
    values = torch.arange(256, dtype=torch.float64) / 255.0
    mean = (levels * values).sum() / levels.sum()
    variance = (levels * (values - mean) ** 2).sum() / levels.sum()
    std = max(math.sqrt(variance.item()), 1.0 / 255.0)
    return Preprocessing(size=IMAGE_SIZE, mean=(round(mean.item(), 4),) * 3, std=(round(std, 4),) * 3)


def fit_clip(
    settings: dict[str, Any], preprocess: Preprocessing, split: Split, scorer: Scorer, compute: Compute, seed: int
) -> nn.Module:
    """Train a CLIP model from scratch; on the CPU the same seed and threads give the same weights.

    Args:
        settings: from :func:`model_settings`.
        preprocess: from :func:`pixel_scaling`.
        split: training images.
        scorer: captions, strengths of the damage, and the training's numbers.
        compute: the device, already prepared.
        seed: the user's seed.

    Returns:
        The model, on the CPU.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    with torch.random.fork_rng(devices=[]):  # open_clip draws its first weights from the global generator
        torch.manual_seed(derived_seed(seed, "scorer-weights"))
        model = build_model(settings)
    device = chosen_device(compute.device)
    model.to(device).train()
    optimizers = _optimizers(model, scorer.fit.lr)
    tokens = tokenize(caption_bank(scorer), settings["text_cfg"]["context_length"]).to(device)
    batches = track(_batches(split, scorer, seed), scorer.fit.steps, "scorer")
    for step, (images, weights) in enumerate(batches):
        loss = _loss(model, preprocess(images.to(device)), tokens, weights.to(device))
        if not math.isfinite(loss.item()):
            raise DivergedError("scorer.fit", f"loss {loss.item()} at step {step + 1}", "a finite loss", "lower lr")
        torch.autograd.backward(loss)
        _update(model, optimizers, _lr_factor(step, scorer.fit.steps))
    return model.cpu()


def _batches(split: Split, scorer: Scorer, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Damaged images and how far each caption is true of them; each step has a generator of its own."""
    for step in range(scorer.fit.steps):
        generator = torch_generator(seed, "scorer-fit", step)
        chosen = torch.randint(len(split), (scorer.fit.batch,), generator=generator)
        damage = draw_damage(len(chosen), generator)
        images = damaged(split.images[chosen], damage, scorer, generator)
        yield images, caption_weights(split.labels[chosen], damage)


def _loss(model: Any, images: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
    image_vectors = model.encode_image(images, normalize=True)
    text_vectors = model.encode_text(tokens, normalize=True)
    scale = model.logit_scale.exp().clamp(max=LARGEST_SCALE)
    return contrastive_loss(image_vectors, text_vectors, weights, scale)


def _optimizers(model: nn.Module, lr: float) -> list[Optimizer]:
    """Muon for the matrices inside the transformers, Adam for everything else."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "resblocks" in name]
    others = [p for name, p in named if not (p.ndim == 2 and "resblocks" in name)]
    optimizers: list[Optimizer] = [Muon(matrices, lr=MUON_RATIO * lr)]
    optimizers.append(torch.optim.Adam(others, lr=lr, betas=BETAS, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def _lr_factor(step: int, steps: int) -> float:
    """Share of the peak learning rate: a short linear warm-up, then a cosine towards 0."""
    warmup = max(1.0, WARMUP_SHARE * steps)
    return min(1.0, (step + 1) / warmup) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _update(model: nn.Module, optimizers: list[Optimizer], factor: float) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
