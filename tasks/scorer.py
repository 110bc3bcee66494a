"""The CLIP scorer: where it comes from, what is recorded of it, and the gate it must pass on real test images."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clip_encoder import ImageTextEncoder, load_folder, load_pretrained, save_folder
from tasks.config import Compute, Evaluate, Scorer
from tasks.dataset import class_balanced, load_split
from tasks.errors import ConfigError
from tasks.files import folder_written_atomically, read_json, write_json
from tasks.paths import ARTIFACTS, artifact, metrics_file
from tasks.reproducibility import prepare_compute, torch_generator
from tasks.scorer_fit import fit_clip, model_settings, pixel_scaling
from tasks.scorer_gate import gate_figures

FOLDER = ARTIFACTS / "scorer"
RECORD = "scorer.json"
GATE_PER_CLASS = 500
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
FITTED_NAME = "CLIP fitted to the training split"


def run_scorer(scorer: Scorer, evaluate: Evaluate, compute: Compute, seed: int) -> dict[str, Any]:
    """Provide the scorer, record it in ``artifacts/scorer``, and test it on real test images.

    A scorer that fails its gate is kept, since the report shows what it says and how little that is worth.

    Args:
        scorer: source, prompts, training and gate.
        evaluate: number of resamples and confidence.
        compute: device, threads and precision.
        seed: the user's seed.

    Raises:
        ConfigError: the model or its tag is unknown, or captions coincide.
        MissingResourceError: the prepared data, the folder or the published weights are not there.
        IntegrityError: the model's files are damaged.
        DivergedError: the fitting left the finite numbers.
    """
    device = prepare_compute(compute)
    start = time.monotonic()
    test = class_balanced(load_split("test"), GATE_PER_CLASS, torch_generator(seed, "scorer-gate"))
    with folder_written_atomically(FOLDER) as folder:
        if scorer.source == "fitted":
            _fit_into(folder, scorer, compute, seed)
        encoder = _load(folder, scorer, device, None)
        write_json(folder / RECORD, _record(encoder, scorer))
    metrics = gate_figures(encoder, test, scorer, evaluate, seed)
    metrics |= {"source": scorer.source, "model": encoder.name, "sha256": encoder.sha256}
    metrics |= {"parameters": encoder.parameters, "logit_scale": encoder.logit_scale}
    metrics["seconds"] = round(time.monotonic() - start, 1)
    write_json(metrics_file("scorer"), metrics)
    return metrics


def load_scorer(scorer: Scorer, compute: Compute) -> ImageTextEncoder:
    """The scorer that :func:`run_scorer` recorded, once its weights are found unaltered.

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
    return _load(FOLDER, scorer, device, record["sha256"])


def _fit_into(folder: Path, scorer: Scorer, compute: Compute, seed: int) -> None:
    train = load_split("train")
    settings, preprocess = model_settings(scorer), pixel_scaling(train)
    save_folder(fit_clip(settings, preprocess, train, scorer, compute, seed), settings, preprocess, folder)


def _load(folder: Path, scorer: Scorer, device: torch.device, sha256: str | None) -> ImageTextEncoder:
    if scorer.source == "pretrained":
        return load_pretrained(scorer.model, scorer.tag, device, sha256)
    if scorer.source == "folder":
        chosen = Path(scorer.folder).expanduser()
        return load_folder(chosen, chosen.name, device, sha256)
    return load_folder(folder, FITTED_NAME, device, sha256)


def _request(scorer: Scorer) -> dict[str, Any]:
    """What was asked for, as far as it decides which model that is, in the types of JSON."""
    keys = {"pretrained": ("model", "tag"), "folder": ("folder",), "fitted": FITTED_KEYS}[scorer.source]
    content = asdict(scorer)
    request: dict[str, Any] = json.loads(json.dumps({key: content[key] for key in ("source", *keys)}))
    return request


def _record(encoder: ImageTextEncoder, scorer: Scorer) -> dict[str, Any]:
    figures = {"parameters": encoder.parameters, "logit_scale": encoder.logit_scale}
    return {"name": encoder.name, "sha256": encoder.sha256, "request": _request(scorer)} | figures


scorer_task = task(name="scorer", cache_policy=NO_CACHE)(run_scorer)
