"""Quality against the number of evaluations: the same trained model under other samplers and with fewer steps."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from torch import Tensor

from models.intervals import Interval
from models.samplers import evaluations
from models.spec import DiscreteSamplerSpec, SamplerSpec, SigmaSamplerSpec
from tasks.distances import RealFeatures, frechet_difference, frechet_interval, real_features
from tasks.errors import IntegrityError
from tasks.files import write_json, write_table
from tasks.judge import Judge, load_critic
from tasks.params import Compute, Evaluate, Sweep, Variant
from tasks.paths import artifact, metrics_file, table_file
from tasks.precision import autocast, chosen_precision
from tasks.progress import track
from tasks.reproducibility import environment_record, prepare_compute
from tasks.sample import Array, Sampling, balanced_requests, sample_images
from tasks.samples import load_samples
from tasks.starts import fitted_start
from tasks.weights import load_model

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """A sampler's images as the critic sees them.

    Attributes:
        sampler: what drew them.
        features: float32, shape (N, D).
        accuracy: share of them that is taken for the class asked for.
    """

    sampler: SamplerSpec
    features: Tensor
    accuracy: float


def run_sweep(
    variant: str, spec: Variant, sweep: Sweep, batch: int, evaluate: Evaluate, compute: Compute, seed: int
) -> dict[str, Any]:
    """Draw a variant's images by every sampler of the sweep, from the same seeds, and judge them by the critic.

    Writes ``reports/tables/sweep_<variant>.csv``, one row a sampler and number of evaluations, and its summary. The
    first row is the variant's own sampler, judged on the samples that it has drawn before.

    Args:
        variant: its name.
        spec: its description.
        sweep: samplers, numbers of evaluations, and how many images are drawn with each.
        batch: images that are computed together.
        evaluate: confidence of the intervals.
        compute: device, threads and precision.
        seed: the user's seed.

    Raises:
        MissingResourceError: the variant has not been trained or sampled, or there is no critic.
        IntegrityError: weights or samples were altered.
    """
    device = prepare_compute(compute)
    diffusion, precision = load_model(variant, spec, device), autocast(compute, device)
    moments = fitted_start(diffusion, spec.sampling, device)  # every sampler tried starts as the variant's own
    labels, seeds = balanced_requests(sweep.per_class, seed)
    bench = _bench(labels, evaluate, compute, seed)
    trials = [bench.trial(spec.sampling, drawn_before(variant, seeds))]
    samplers = candidates(spec, sweep)
    for sampler in track(iter(samplers), len(samplers), f"sweeping {variant}"):
        sampling = Sampling(diffusion, sampler, batch, device, precision, moments)
        trials.append(bench.trial(sampler, _drawn(sampling, labels, seeds)))
    rows = bench.rows(trials)
    write_table(table_file(f"sweep_{variant}"), pd.DataFrame(rows))
    summary = {"variant": variant, "num_images": len(labels), "rows": rows}
    environment = environment_record(compute, device, chosen_precision(compute, device))
    write_json(metrics_file("sweep", variant), {**summary, "environment": environment})
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

    def trial(self, sampler: SamplerSpec, images: Array) -> Trial:
        """What the critic sees in a sampler's images, uint8 [N, 28, 28]."""
        features, logits = self.judge.features_and_logits(torch.from_numpy(images))
        return Trial(sampler, features, (logits.argmax(dim=1) == self.labels).double().mean().item())

    def rows(self, trials: list[Trial]) -> list[Row]:
        """A row a trial: its sampler, its distance, how far that is behind the smallest, and its accuracy."""
        found = [self._distance(trial.features) for trial in trials]
        best = trials[min(range(len(trials)), key=lambda index: found[index].value)]
        behind = [self._difference(trial.features, best.features) for trial in trials]
        return [_row(*each) for each in zip(trials, found, behind, strict=True)]

    def _distance(self, features: Tensor) -> Interval:
        return frechet_interval(features, self.labels, self.real, self.confidence, self.seed)

    def _difference(self, features: Tensor, best: Tensor) -> Interval:
        return frechet_difference((features, best), self.labels, self.real, self.confidence, self.seed)


def _row(trial: Trial, distance: Interval, behind: Interval) -> Row:
    return {
        "sampler": sampler_name(trial.sampler),
        "evaluations": evaluations(trial.sampler),
        "fid": distance.value,
        "fid_low": distance.low,
        "fid_high": distance.high,
        "behind": behind.value,
        "behind_low": behind.low,
        "behind_high": behind.high,
        "accuracy": trial.accuracy,
    }


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
    doubled = own.guidance not in (0.0, 1.0)
    found: list[SamplerSpec] = []
    for count in sweep.evaluations:
        steps = max(1, count // 2 if doubled else count)
        if isinstance(own, SigmaSamplerSpec):
            found += [_along_sigma(own, kind, steps) for kind in sweep.samplers]
        else:
            found += [replace(own, kind="ddim", steps=steps, eta=eta) for eta in (0.0, 1.0)]
    possible = [sampler for sampler in found if _fits(sampler, spec)]
    return [sampler for sampler in dict.fromkeys(possible) if sampler != _as_ddim(own)]


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
        return {0.0: "DDIM", 1.0: "DDPM"}.get(sampler.eta, f"DDIM, eta {sampler.eta:g}")
    churn = f", churn {sampler.churn:g}" if sampler.churn else ""
    names = {"heun": f"Heun{churn}", "dpmpp_2m": "DPM-Solver++(2M)", "dpmpp_3m": "DPM-Solver++(3M)", "ipndm": "iPNDM"}
    return names.get(sampler.kind, "UniPC")


def _as_ddim(sampler: SamplerSpec) -> SamplerSpec:
    """DDPM over all steps is DDIM with all the noise (Song et al. 2021, section 4.1)."""
    return replace(sampler, kind="ddim") if isinstance(sampler, DiscreteSamplerSpec) else sampler


def _along_sigma(own: SigmaSamplerSpec, kind: Any, looks: int) -> SigmaSamplerSpec:
    return replace(own, kind=kind, steps=(looks + 1) // 2 if kind == "heun" else looks, churn=0.0)


def _fits(sampler: SamplerSpec, spec: Variant) -> bool:
    return isinstance(sampler, SigmaSamplerSpec) or sampler.steps <= getattr(spec.process, "steps", sampler.steps)


def _drawn(sampling: Sampling, labels: Array, seeds: Array) -> Array:
    starts = range(0, len(labels), sampling.batch)
    parts = [slice(start, start + sampling.batch) for start in starts]
    return np.concatenate([sample_images(sampling, labels[part], seeds[part]) for part in parts])


sweep_task = task(name="sweep", cache_policy=NO_CACHE)(run_sweep)
