"""CLIP models behind one interface: images and texts become unit vectors. The only module that knows open_clip.

open_clip warns and carries on with random weights where a folder holds none, and keeps trying for a minute where the
network is gone; here both are refused in one line.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import huggingface_hub
import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor, nn

from models.pixels import from_unit, to_unit
from tasks.clip_folder import CONFIG, WEIGHTS, require_model_files
from tasks.errors import ConfigError, IntegrityError, MissingResourceError
from tasks.files import sha256_file, write_json, write_tensors

HUB_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
IMAGE_BLOCK = 250
PROBE_SECONDS = 5.0


class ImageTextEncoder(Protocol):
    """What the scoring needs of a CLIP model."""

    @property
    def name(self) -> str:
        """What the model is called in tables."""

    @property
    def sha256(self) -> str:
        """Digest of the file with its weights."""

    @property
    def parameters(self) -> int:
        """Number of its weights."""

    @property
    def logit_scale(self) -> float:
        """Inverse temperature by which the model multiplies cosines."""

    def encode_images(self, images: Tensor) -> Tensor:
        """Unit vectors of shape (N, D) on the CPU for uint8 images of shape (N, 28, 28)."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors of shape (N, D) on the CPU for N texts."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How grey levels become a model's input.

    Attributes:
        size: side of the model's square images in pixels.
        mean: per channel, of the unit range.
        std: per channel, of the unit range.
        interpolation: ``bicubic`` or ``bilinear``.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def __call__(self, images: Tensor) -> Tensor:
        """Resize and normalise as open_clip's own transform does with pictures.

        Args:
            images: uint8, shape (N, H, H).

        Returns:
            float32 of shape (N, 3, size, size), the grey channel repeated.
        """
        x = to_unit(images)[:, None]
        if x.shape[-1] != self.size:
            # Like PIL: along the rows, then along the columns, with whole grey levels after each.
            x = self._resize(x, (x.shape[-2], self.size))
            x = self._resize(x, (self.size, self.size))
        mean, std = (torch.tensor(v, device=x.device).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return to_unit(from_unit(F.interpolate(x, size=size, mode=self.interpolation, antialias=True)))


class OpenClipEncoder:
    """An open_clip model in evaluation mode, float32.

    Args:
        model: the model, with its weights.
        tokenizer: turns texts into tokens, int64 of shape (N, L).
        name: what to call it in tables.
        sha256: digest of its weights file.
        device: where to run it.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, sha256: str, device: torch.device) -> None:
        self.name, self.sha256, self._device = name, sha256, device
        self._model, self._tokenizer = model.to(device).eval(), tokenizer
        self.preprocess = preprocessing_of(model)
        self.parameters = sum(weights.numel() for weights in model.parameters())
        self.logit_scale = float(model.logit_scale.detach().exp())

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """See :class:`ImageTextEncoder`; in blocks of :data:`IMAGE_BLOCK`."""
        blocks = torch.split(images, IMAGE_BLOCK)
        inputs = (self.preprocess(block.to(self._device)) for block in blocks)
        return torch.cat([self._model.encode_image(x, normalize=True).cpu() for x in inputs])

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """See :class:`ImageTextEncoder`."""
        tokens = self._tokenizer(list(texts)).to(self._device)
        encoded: Tensor = self._model.encode_text(tokens, normalize=True).cpu()
        return encoded


def encode_prompts(encoder: ImageTextEncoder, prompts: Sequence[Sequence[str]]) -> Tensor:
    """Unit vectors of equally many prompts for each of C classes, shape (C, P, D)."""
    flat = [text for own in prompts for text in own]
    return encoder.encode_texts(flat).view(len(prompts), len(prompts[0]), -1)


def preprocessing_of(model: Any) -> Preprocessing:
    """The preprocessing that open_clip attaches to a model it has loaded.

    Raises:
        ConfigError: the model does not take square images.
    """
    settings = model.visual.preprocess_cfg
    size = settings["size"]
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise ConfigError("scorer.model", f"takes images of size {size}", "square images", "choose another model")
    mean, std = tuple(settings["mean"]), tuple(settings["std"])
    return Preprocessing(size=sides.pop(), mean=mean, std=std, interpolation=settings["interpolation"])


def load_folder(folder: Path, name: str, device: torch.device, sha256: str | None = None) -> OpenClipEncoder:
    """Load a model from a folder with ``open_clip_config.json`` and ``open_clip_model.safetensors``.

    Args:
        folder: where the two files lie.
        name: what to call the model in tables.
        device: where to run it.
        sha256: what the weights were recorded to be; None where nothing is recorded yet.

    Raises:
        MissingResourceError: the folder or one of the files is not there.
        IntegrityError: the weights are not those recorded, or the files do not describe a model.
    """
    require_model_files(folder)
    found = require_digest(folder / WEIGHTS, sha256)
    location = f"local-dir:{folder.resolve()}"
    try:
        model = _create(location)
        tokenizer = open_clip.get_tokenizer(location)
    except Exception as error:  # open_clip raises whatever its parts raise: KeyError, TypeError, SafetensorError, ...
        reason = _first_line(error)
        remedy = "replace the folder's files"
        raise IntegrityError(str(folder), f"cannot be loaded ({reason})", "an open_clip model", remedy) from error
    return OpenClipEncoder(model, tokenizer, name, found, device)


def load_pretrained(model: str, tag: str, device: torch.device, sha256: str | None = None) -> OpenClipEncoder:
    """Load a published model from the local cache, or download it.

    Args:
        model: open_clip's name of the architecture, such as ``ViT-B-32``.
        tag: open_clip's name of the weights, such as ``laion2b_s34b_b79k``.
        device: where to run it.
        sha256: what the weights were recorded to be; None where nothing is recorded yet.

    Raises:
        ConfigError: open_clip knows no such model and tag.
        MissingResourceError: the weights are not in the cache and cannot be downloaded.
        IntegrityError: the weights are not those recorded, or do not fit the model.
    """
    settings = _published(model, tag)
    weights = _cached(settings) or _download(settings, f"{model}/{tag}")
    found = require_digest(weights, sha256)
    try:
        # Named by a path, weights lose their tag's settings, so these are passed on.
        quick = settings.get("quick_gelu", False)
        built = _create(model, pretrained=str(weights), force_quick_gelu=quick, force_preprocess_cfg=settings)
        tokenizer = open_clip.get_tokenizer(model)
    except Exception as error:  # as above; some tokenizers are a download of their own
        reason = _first_line(error)
        remedy = "choose another model, or set scorer.source to fitted"
        raise MissingResourceError(f"{model}/{tag}", f"cannot be loaded ({reason})", "its files", remedy) from error
    return OpenClipEncoder(built, tokenizer, f"{model}/{tag}", found, device)


def require_digest(path: Path, sha256: str | None) -> str:
    """The sha256 of a weights file.

    Raises:
        IntegrityError: it differs from the one given.
    """
    found = sha256_file(path)
    if sha256 is not None and found != sha256:
        what, remedy = f"has sha256 {found[:12]}", "run `dvc repro scorer` again"
        raise IntegrityError(str(path), what, f"{sha256[:12]}, as recorded", remedy)
    return found


def build_model(settings: dict[str, Any]) -> nn.Module:
    """A CLIP model with fresh weights from the global generator, which the caller seeds and restores.

    Args:
        settings: open_clip's ``model_cfg``: ``embed_dim``, ``vision_cfg`` and ``text_cfg``.
    """
    model: nn.Module = CLIP(**settings)
    return model


def tokenize(texts: Sequence[str], context_length: int) -> Tensor:
    """Tokens of open_clip's own tokenizer, int64, shape (N, context_length); longer texts are cut."""
    tokens: Tensor = open_clip.tokenize(list(texts), context_length)
    return tokens


def save_folder(model: nn.Module, settings: dict[str, Any], preprocess: Preprocessing, folder: Path) -> str:
    """Write a model as a folder that :func:`load_folder`, and open_clip's ``local-dir:``, can load.

    Returns:
        The sha256 of the weights file.
    """
    transform = {"mean": preprocess.mean, "std": preprocess.std, "interpolation": preprocess.interpolation}
    write_json(folder / CONFIG, {"model_cfg": settings, "preprocess_cfg": transform | {"resize_mode": "shortest"}})
    return write_tensors(folder / WEIGHTS, model.state_dict())


def _create(model: str, **settings: Any) -> Any:
    """A model with its weights; without trace in the global generator, nor open_clip's remarks to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)
    try:
        with torch.random.fork_rng(devices=[]):  # the weights that are about to be replaced are drawn at random
            return open_clip.create_model(model, require_pretrained=True, **settings)
    finally:
        root.setLevel(level)


def _published(model: str, tag: str) -> dict[str, Any]:
    if model not in open_clip.list_models():
        raise ConfigError("scorer.model", f"{model!r} is unknown", "a model of open_clip.list_models()", "correct it")
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(model, tag)
    if not settings:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise ConfigError("scorer.tag", f"{tag!r} is unknown for {model}", f"one of: {known}", "correct it")
    return settings


def _cached(settings: dict[str, Any]) -> Path | None:
    """The weights in the local cache, found without asking the network."""
    repository, _, file = settings.get("hf_hub", "").rpartition("/")
    for name in (file,) if file else HUB_WEIGHTS:
        found = huggingface_hub.try_to_load_from_cache(repository, name) if repository else None
        if isinstance(found, str):
            return Path(found)
    return None


def _download(settings: dict[str, Any], name: str) -> Path:
    """Download weights, after one short probe, since the hub's client keeps trying for most of a minute."""
    remedy = "connect, fill open_clip's cache, or set scorer.source to fitted"
    try:
        address = huggingface_hub.constants.ENDPOINT if settings.get("hf_hub") else settings["url"]
        httpx.head(address, timeout=PROBE_SECONDS, follow_redirects=True)
        return Path(open_clip.download_pretrained(settings))
    except Exception as error:  # whatever the transport raises, the weights are not there
        what = f"cannot be downloaded ({_first_line(error)})"
        raise MissingResourceError(name, what, "its weights in the cache or a network", remedy) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
