"""Quality against the number of evaluations: the same trained model under other samplers and with fewer steps."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from torch import Tensor

from models.samplers import evaluations
from models.spec import DiscreteSamplerSpec, SamplerSpec, SigmaSamplerSpec
from tasks.distances import RealFeatures, frechet_interval, real_features
from tasks.errors import IntegrityError
from tasks.files import read_json, write_json, write_table
from tasks.judge import Judge, load_critic
from tasks.params import Compute, Evaluate, Sweep, Variant
from tasks.paths import artifact, metrics_file, table_file
from tasks.progress import track
from tasks.reproducibility import autocast, environment_record, prepare_compute
from tasks.sample import Array, Sampling, balanced_requests, sample_images
from tasks.samples import load_samples
from tasks.weights import load_model

BATCH = 100
"""Images computed together, which changes none of them."""


def run_sweep(
    variant: str, spec: Variant, sweep: Sweep, evaluate: Evaluate, compute: Compute, seed: int
) -> dict[str, Any]:
    """Draw a variant's images by every sampler of the sweep, from the same seeds, and judge them by the critic.

    Writes ``reports/tables/sweep_<variant>.csv``, one row a sampler and number of evaluations, and its summary. The
    first row is the variant's own sampler, judged on the samples that it has drawn before.

    Args:
        variant: its name.
        spec: its description.
        sweep: samplers, numbers of evaluations, and how many images are drawn with each.
        evaluate: confidence of the intervals.
        compute: device, threads and precision.
        seed: the user's seed.

    Raises:
        MissingResourceError: the variant has not been trained or sampled, or there is no critic.
        IntegrityError: weights or samples were altered.
    """
    device = prepare_compute(compute)
    diffusion, precision = load_model(variant, spec, device), autocast(compute, device)
    labels, seeds = balanced_requests(sweep.per_class, seed)
    bench = _bench(labels, evaluate, compute, seed)
    rows = [_row(spec.sampling, bench.figures(drawn_before(variant, seeds)), _measured_speed(variant))]
    samplers = candidates(spec, sweep)
    for sampler in track(iter(samplers), len(samplers), f"sweeping {variant}"):
        start = time.monotonic()
        images = _drawn(Sampling(diffusion, sampler, BATCH, device, precision), labels, seeds)
        speed = len(images) / (time.monotonic() - start)
        rows.append(_row(sampler, bench.figures(images), speed))
    write_table(table_file(f"sweep_{variant}"), pd.DataFrame(rows))
    summary = {"variant": variant, "num_images": len(labels), "rows": rows}
    write_json(metrics_file("sweep", variant), {**summary, "environment": environment_record(compute, device)})
    return summary


@dataclass(frozen=True, slots=True)
class Bench:
    """What every sampler's images are held to.

    Attributes:
        judge: the fitted critic.
        real: the training images in its eyes.
        labels: the classes that the images should show, int64, shape (N,).
        confidence: of the intervals.
        seed: the user's seed.
    """

    judge: Judge
    real: RealFeatures
    labels: Tensor
    confidence: float
    seed: int

    def figures(self, images: Array) -> dict[str, float]:
        """FID with its interval, and class accuracy, of images uint8 [N, 28, 28]."""
        features, logits = self.judge.features_and_logits(torch.from_numpy(images))
        distance = frechet_interval(features, self.labels, self.real, self.confidence, self.seed)
        right = (logits.argmax(dim=1) == self.labels).double().mean().item()
        return {"fid": distance.value, "fid_low": distance.low, "fid_high": distance.high, "accuracy": right}


def _bench(labels: Array, evaluate: Evaluate, compute: Compute, seed: int) -> Bench:
    judge = load_critic(compute)
    return Bench(judge, real_features(judge, seed), torch.from_numpy(labels), evaluate.confidence, seed)


def candidates(spec: Variant, sweep: Sweep) -> list[SamplerSpec]:
    """The samplers to try, each once, beside the variant's own.

    A DDPM is sampled by DDIM, without noise and with all of it, an EDM by the samplers that the sweep names. Heun's
    method takes as many steps as come nearest to the number of evaluations from below.

    Args:
        spec: the variant, whose other settings of the sampler stay.
        sweep: samplers and numbers of evaluations.
    """
    own = spec.sampling
    found: list[SamplerSpec] = []
    for count in sweep.evaluations:
        if isinstance(own, SigmaSamplerSpec):
            found += [_along_sigma(own, kind, count) for kind in sweep.samplers]
        else:
            found += [replace(own, kind="ddim", steps=count, eta=eta) for eta in (0.0, 1.0)]
    possible = [sampler for sampler in found if _fits(sampler, spec)]
    return [sampler for sampler in dict.fromkeys(possible) if not _same(sampler, own)]


def drawn_before(variant: str, seeds: Array) -> Array:
    """The variant's samples from these seeds, uint8 [N, 28, 28].

    Raises:
        MissingResourceError: it has not been sampled.
        IntegrityError: its samples are damaged, or were drawn from other seeds.
    """
    samples = load_samples(variant)
    places = {seed: place for place, seed in enumerate(samples.seeds.tolist())}
    missing = [seed for seed in seeds.tolist() if seed not in places]
    if missing:
        path = str(artifact(variant, "samples.npz"))
        raise IntegrityError(path, f"lacks {len(missing)} of the seeds", "samples of this build", "rerun the stage")
    images: Array = samples.images[[places[seed] for seed in seeds.tolist()]].numpy()
    return images


def sampler_name(sampler: SamplerSpec) -> str:
    """A sampler in words, without its number of steps."""
    if isinstance(sampler, DiscreteSamplerSpec):
        return "DDPM" if sampler.eta == 1.0 else "DDIM"
    names = {"heun": "Heun", "dpmpp_2m": "DPM-Solver++(2M)", "dpmpp_3m": "DPM-Solver++(3M)", "ipndm": "iPNDM"}
    return names.get(sampler.kind, "UniPC")


def _same(one: SamplerSpec, other: SamplerSpec) -> bool:
    """Whether two samplers draw alike: DDPM over all steps is DDIM with all the noise."""
    return (sampler_name(one), evaluations(one)) == (sampler_name(other), evaluations(other))


def _row(sampler: SamplerSpec, figures: dict[str, float], speed: float) -> dict[str, Any]:
    named = {"sampler": sampler_name(sampler), "evaluations": evaluations(sampler)}
    return {**named, **figures, "images_per_second": speed}


def _measured_speed(variant: str) -> float:
    return float(read_json(metrics_file("sample", variant))["images_per_second"])


def _along_sigma(own: SigmaSamplerSpec, kind: Any, count: int) -> SigmaSamplerSpec:
    return replace(own, kind=kind, steps=(count + 1) // 2 if kind == "heun" else count, churn=0.0)


def _fits(sampler: SamplerSpec, spec: Variant) -> bool:
    return isinstance(sampler, SigmaSamplerSpec) or sampler.steps <= getattr(spec.process, "steps", sampler.steps)


def _drawn(sampling: Sampling, labels: Array, seeds: Array) -> Array:
    starts = range(0, len(labels), sampling.batch)
    parts = [slice(start, start + sampling.batch) for start in starts]
    return np.concatenate([sample_images(sampling, labels[part], seeds[part]) for part in parts])


sweep_task = task(name="sweep", cache_policy=NO_CACHE)(run_sweep)
