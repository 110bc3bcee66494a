"""The scorer as its stage leaves it in ``artifacts/scorer``: what is recorded of it, and loading what was recorded."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tasks.clip_encoder import ImageTextEncoder, load_folder, load_pretrained
from tasks.errors import ConfigError
from tasks.files import as_json, read_json, write_json
from tasks.params import Compute, Scorer
from tasks.paths import ARTIFACTS, artifact
from tasks.reproducibility import prepare_compute

FOLDER = ARTIFACTS / "scorer"
RECORD = "scorer.json"
FITTED_NAME = "CLIP fitted to the training split"
FITTED_KEYS = (
    "class_words",
    "good_prompt",
    "clear_prompt",
    "blurry_prompt",
    "noisy_prompt",
    "blur_sigma",
    "noise_sigma",
    "fit",
)
IDENTITY = {"pretrained": ("model", "tag"), "folder": ("folder",), "fitted": FITTED_KEYS}
"""The keys that decide which model a source gives."""


def load_scorer(scorer: Scorer, compute: Compute) -> ImageTextEncoder:
    """The scorer that :func:`record_scorer` recorded, once its weights are found unaltered.

    Args:
        scorer: must ask for the model that was recorded.
        compute: device and threads.

    Raises:
        MissingResourceError: the scorer stage has not run, or the model's files have gone.
        ConfigError: another model was recorded.
        IntegrityError: the weights were altered since.
    """
    device = prepare_compute(compute)
    record = read_json(artifact("scorer", RECORD))
    if record["request"] != _request(scorer):
        what = f"is recorded as {record['name']}"
        raise ConfigError(str(artifact("scorer", RECORD)), what, "the model of params.yaml", "run `dvc repro scorer`")
    return load_source(FOLDER, scorer, device, record["sha256"])


def load_source(fitted: Path, scorer: Scorer, device: torch.device, sha256: str | None) -> ImageTextEncoder:
    """The model that ``scorer.source`` names.

    Args:
        fitted: where a fitted model lies.
        scorer: source of the model.
        device: where to run it.
        sha256: what the weights were recorded to be; None where nothing is recorded yet.

    Raises:
        ConfigError: the model or its tag is unknown.
        MissingResourceError: the folder or the published weights are not there.
        IntegrityError: the files are damaged, or not those recorded.
    """
    if scorer.source == "pretrained":
        return load_pretrained(scorer.model, scorer.tag, device, sha256)
    if scorer.source == "folder":
        chosen = Path(scorer.folder)
        return load_folder(chosen, chosen.name, device, sha256)
    return load_folder(fitted, FITTED_NAME, device, sha256)


def record_scorer(folder: Path, encoder: ImageTextEncoder, scorer: Scorer) -> None:
    """Write down in ``folder`` which model was asked for and which was found."""
    figures = {"parameters": encoder.parameters, "logit_scale": encoder.logit_scale}
    found = {"name": encoder.name, "sha256": encoder.sha256, "request": _request(scorer)}
    write_json(folder / RECORD, found | figures)


def _request(scorer: Scorer) -> dict[str, Any]:
    """What was asked for, as far as it decides which model that is, in the types of JSON."""
    content = asdict(scorer)
    keys = ("source", *IDENTITY[scorer.source])
    request: dict[str, Any] = as_json({key: content[key] for key in keys})
    return request
