"""The fitted critic on disk: saved with its identity card, and refused when a byte of it has changed."""

from dataclasses import asdict
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from models.classifier import Classifier
from models.pixels import to_signed
from tasks.errors import IntegrityError
from tasks.files import read_json, sha256_file, write_json, write_tensors
from tasks.labels import NUM_CLASSES
from tasks.params import Compute, Critic
from tasks.paths import artifact
from tasks.reproducibility import prepare_compute
from tasks.seeds import torch_generator

WEIGHTS = artifact("critic", "model.safetensors")
CARD = artifact("critic", "model.json")
BATCH = 500


class Judge:
    """The critic at work.

    Args:
        classifier: the fitted network, which answers with logits and features; it is put in evaluation mode.
        device: where it runs.
    """

    def __init__(self, classifier: nn.Module, device: torch.device) -> None:
        self._classifier = classifier.to(device).to(memory_format=torch.channels_last).eval()
        self._device = device

    @torch.no_grad()
    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the critic sees in images, computed in float32, in which it was fitted.

        Args:
            images: uint8, shape (N, 28, 28).

        Returns:
            Features (N, features) and unnormalised log-probabilities (N, 10), float32 on the CPU.
        """
        seen = [self._classifier(as_input(batch.to(self._device))) for batch in torch.split(images, BATCH)]
        logits, features = (torch.cat(parts).cpu() for parts in zip(*seen, strict=True))
        return features, logits


def as_input(images: Tensor) -> Tensor:
    """uint8 images (B, 28, 28) as the classifier's input (B, 1, 28, 28) in [-1, 1]."""
    return to_signed(images)[:, None].contiguous(memory_format=torch.channels_last)


def new_classifier(critic: Critic, seed: int) -> Classifier:
    """An untrained classifier; equal arguments give equal weights."""
    generator = torch_generator(seed, "critic weights")
    return Classifier(critic.channels, critic.features, NUM_CLASSES, critic.dropout, generator)


def save_critic(classifier: Classifier, critic: Critic, card: dict[str, Any]) -> str:
    """Write the weights, and a card that holds the configuration and their sha256, which is returned.

    Args:
        classifier: the fitted network.
        critic: its configuration.
        card: what else is worth knowing: the data, the versions.
    """
    digest = write_tensors(WEIGHTS, classifier.state_dict())
    write_json(CARD, {**card, "config": asdict(critic), "weights_sha256": digest})
    return digest


def load_critic(compute: Compute) -> Judge:
    """The critic as the critic stage left it.

    Raises:
        MissingResourceError: it has not been fitted.
        IntegrityError: its weights or its card were altered.
    """
    card = read_json(CARD)
    digest = sha256_file(WEIGHTS)
    if digest != card.get("weights_sha256"):
        raise IntegrityError(str(WEIGHTS), "was altered", "the sha256 of its model.json", "rerun the critic stage")
    try:
        config = card["config"]
        classifier = new_classifier(Critic(**{**config, "channels": tuple(config["channels"])}), seed=0)
        classifier.load_state_dict(safetensors.torch.load_file(WEIGHTS))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = "describes another network than the weights beside it"
        raise IntegrityError(str(CARD), what, "the card of these weights", "rerun the critic stage") from error
    return Judge(classifier, prepare_compute(compute))
