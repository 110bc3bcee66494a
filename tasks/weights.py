"""A variant's finished weights and the identity card that goes with them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
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
from tasks.files import read_json, sha256_file, write_json, write_tensors
from tasks.params import Variant
from tasks.paths import artifact

WEIGHTS = "model.safetensors"
CARD = "model.json"


def save_model(variant: str, module: nn.Module, card: dict[str, Any]) -> str:
    """Write a variant's weights and its card, to which the sha256 of the weights is added; returns that sha256."""
    digest = write_tensors(artifact(variant, WEIGHTS), module.state_dict())
    write_json(artifact(variant, CARD), {**card, "weights_sha256": digest})
    return digest


def load_model(variant: str, spec: Variant, device: torch.device) -> Diffusion:
    """Rebuild a trained model, ready to sample.

    Args:
        variant: its name.
        spec: its description, which must be the one that it was trained under.
        device: where it shall run.

    Raises:
        MissingResourceError: it has not been trained.
        IntegrityError: the weights were altered, or belong to another network or process.
    """
    card = checked_card(variant, spec)
    with card_errors(variant):
        digest = card["weights_sha256"]
    return load_weights(artifact(variant, WEIGHTS), digest, variant, spec).to(device)


def checked_card(variant: str, spec: Variant) -> dict[str, Any]:
    """A variant's card, if it tells of the network and process described.

    Args:
        variant: its name.
        spec: its description.

    Raises:
        MissingResourceError: the variant has not been trained.
        IntegrityError: it was trained with another network or process, or its card is damaged.
    """
    card = read_json(artifact(variant, CARD))
    wanted = json.loads(json.dumps({"network": asdict(spec.network), "process": asdict(spec.process)}))
    with card_errors(variant):
        different = differing_keys(wanted, {key: card["config"][key] for key in wanted})
    if different:
        what = f"was trained under another configuration ({', '.join(different[:3])})"
        raise IntegrityError(str(artifact(variant, WEIGHTS)), what, "the one of params.yaml", f"rerun train@{variant}")
    return card


@contextmanager
def card_errors(variant: str) -> Iterator[None]:
    """Name a variant's card as what is damaged when something that it must tell is not found in it.

    Args:
        variant: its name.

    Raises:
        IntegrityError: an entry is missing, or is of another kind.
    """
    try:
        yield
    except (KeyError, TypeError) as error:
        what = "lacks something that a card tells"
        expected, remedy = "the card of a finished training", f"rerun train@{variant}"
        raise IntegrityError(str(artifact(variant, CARD)), what, expected, remedy) from error


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
