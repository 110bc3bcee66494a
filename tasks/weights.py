"""A variant's finished weights and the identity card that goes with them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from models.build import build_diffusion
from models.diffusion import Diffusion
from tasks.checkpoint import differing_keys
from tasks.errors import IntegrityError
from tasks.files import as_json, read_json, sha256_file, sha256_json, write_json, write_tensors
from tasks.paths import artifact
from tasks.variants import Variant

WEIGHTS = "model.safetensors"
CARD = "model.json"
SEAL = "card_sha256"
"""Key of a card under which its own digest stands."""


def save_model(variant: str, module: nn.Module, card: dict[str, Any]) -> str:
    """Write a variant's weights and its card, to which the sha256 of the weights is added; returns that sha256."""
    digest = write_tensors(artifact(variant, WEIGHTS), module.state_dict())
    write_card(variant, {**card, "weights_sha256": digest})
    return digest


def write_card(variant: str, card: dict[str, Any]) -> None:
    """Write a variant's card under a seal: the sha256 of all else that it tells."""
    told = {key: value for key, value in card.items() if key != SEAL}
    write_json(artifact(variant, CARD), {**told, SEAL: sha256_json(told)})


def read_card(variant: str) -> dict[str, Any]:
    """A variant's card as it was written.

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: the card was altered, or is none.
    """
    path = artifact(variant, CARD)
    card = read_json(path)
    if card.get(SEAL) != sha256_json({key: value for key, value in card.items() if key != SEAL}):
        raise IntegrityError(str(path), "was altered", "the sha256 that it ends with", f"rerun train@{variant}")
    return card


def load_model(variant: str, spec: Variant, device: torch.device) -> Diffusion:
    """Rebuild a trained model, ready to sample.

    Args:
        variant: its name.
        spec: its description, which must be the one that it was trained under.
        device: where it shall run.

    Raises:
        MissingResourceError: it has not been trained.
        IntegrityError: the weights were altered, or belong to another network or process, or were taught otherwise.
    """
    card = checked_card(variant, spec)
    return load_weights(artifact(variant, WEIGHTS), card["weights_sha256"], variant, spec).to(device)


def checked_card(variant: str, spec: Variant) -> dict[str, Any]:
    """A variant's card, if it tells of the network and process described, and of what that model is to be taught.

    An answer of weights that were taught to jump is a picture, where that of others is the mean of many.

    Args:
        variant: its name.
        spec: its description.

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: it was trained with another network or process, or taught otherwise, or its card was altered.
    """
    card = read_card(variant)
    config, distilled = card["config"], spec.training.distilled
    taught = as_json(asdict(distilled)) if distilled else None
    wanted = {**as_json({"network": asdict(spec.network), "process": asdict(spec.process)}), "distilled": taught}
    made = {"network": config["network"], "process": config["process"], "distilled": config["training"]["distilled"]}
    different = differing_keys(wanted, made)
    if different:
        what = f"was trained under another configuration ({', '.join(different[:3])})"
        raise IntegrityError(str(artifact(variant, WEIGHTS)), what, "the one of params.yaml", f"rerun train@{variant}")
    return card


def load_weights(path: Path, digest: str, variant: str, spec: Variant) -> Diffusion:
    """Build a model around weights, in evaluation mode.

    Args:
        path: the file with its tensors.
        digest: the sha256 that the file had when it was written.
        variant: whose weights they are, for the error.
        spec: the variant's description.

    Raises:
        MissingResourceError: there is no such file.
        IntegrityError: it was altered, or holds the weights of another network.
    """
    if sha256_file(path) != digest:
        raise IntegrityError(str(path), "was altered", f"sha256 {digest}", f"rerun train@{variant}")
    diffusion = build_diffusion(spec.network, spec.process, seed=0)
    try:
        diffusion.load_state_dict(safetensors.torch.load_file(path))
    except (SafetensorError, RuntimeError) as error:
        what = "holds other tensors than the network described"
        raise IntegrityError(str(path), what, "the weights of its model.json", f"rerun train@{variant}") from error
    return diffusion.eval()
