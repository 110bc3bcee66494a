"""The CLIP scorer: provided from its source, recorded, and put to its trial on real test images."""

import time
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clip_encoder import save_folder
from tasks.dataset import class_balanced, load_split
from tasks.files import folder_written_atomically, write_json
from tasks.params import Compute, Evaluate, Scorer
from tasks.paths import metrics_file
from tasks.reproducibility import prepare_compute
from tasks.scorer_artifact import FOLDER, load_source, record_scorer
from tasks.scorer_fit import fit_clip, model_settings, pixel_scaling
from tasks.scorer_trial import trial_figures
from tasks.seeds import torch_generator

TRIAL_PER_CLASS = 500


def run_scorer(scorer: Scorer, evaluate: Evaluate, compute: Compute, seed: int) -> dict[str, Any]:
    """Provide the scorer, record it in ``artifacts/scorer``, and try it on real test images.

    Whether the figures open the gate is for the report to say (:mod:`tasks.gate`): its thresholds decide no weights.

    Args:
        scorer: source, prompts, damage and training.
        evaluate: number of resamples, confidence and held-out damage.
        compute: device and threads.
        seed: the user's seed.

    Raises:
        ConfigError: the model or its tag is unknown, or captions coincide.
        MissingResourceError: the prepared data, the folder or the published weights are not there.
        IntegrityError: the model's files are damaged.
        DivergedError: the fitting left the finite numbers.
    """
    device = prepare_compute(compute)
    start = time.monotonic()
    test = class_balanced(load_split("test"), TRIAL_PER_CLASS, torch_generator(seed, "scorer-gate"))
    with folder_written_atomically(FOLDER) as folder:
        if scorer.source == "fitted":
            _fit_into(folder, scorer, compute, seed)
        encoder = load_source(folder, scorer, device, None)
        record_scorer(folder, encoder, scorer)
    metrics = trial_figures(encoder, test, scorer, evaluate, seed)
    metrics |= {"source": scorer.source, "model": encoder.name, "sha256": encoder.sha256}
    metrics |= {"parameters": encoder.parameters, "logit_scale": encoder.logit_scale}
    metrics["seconds"] = round(time.monotonic() - start, 1)
    write_json(metrics_file("scorer"), metrics)
    return metrics


def _fit_into(folder: Path, scorer: Scorer, compute: Compute, seed: int) -> None:
    train = load_split("train")
    settings, preprocess = model_settings(scorer), pixel_scaling(train)
    save_folder(fit_clip(settings, preprocess, train, scorer, compute, seed), settings, preprocess, folder)


scorer_task = task(name="scorer", cache_policy=NO_CACHE)(run_scorer)
