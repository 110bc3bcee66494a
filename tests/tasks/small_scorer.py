"""A scorer small enough to fit in a test, and CLIP models with random weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tasks.clip_encoder import Preprocessing, build_model, save_folder
from tasks.config import load_params
from tasks.params import Evaluate, Scorer, ScorerFit

ROOT = Path(__file__).parents[2]
EVALUATE: Evaluate = replace(load_params(ROOT / "params.yaml").evaluate, bootstrap=100)
SCORER: Scorer = replace(
    load_params(ROOT / "params.yaml").scorer,
    source="fitted",
    fit=ScorerFit(steps=150, batch=32, lr=0.003, width=32, layers=1, patch=7, embedding=16),
)
TINY: dict[str, Any] = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 28, "patch_size": 14, "width": 32, "layers": 1, "head_width": 32},
    "text_cfg": {"context_length": 16, "width": 8, "heads": 1, "layers": 1},
}
GREY = Preprocessing(size=28, mean=(0.3, 0.3, 0.3), std=(0.35, 0.35, 0.35))


def save_random_model(folder: Path, settings: dict[str, Any] = TINY, preprocess: Preprocessing = GREY) -> str:
    """Write a CLIP model with random weights; returns the sha256 of its weights file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = build_model(settings)
    return save_folder(model, settings, preprocess, folder)


def some_images(count: int, seed: int = 0) -> torch.Tensor:
    """Blocks of random grey, uint8 of shape (count, 28, 28): smooth in places, with edges."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(256, (count, 7, 7), generator=generator, dtype=torch.uint8)
    return blocks.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
