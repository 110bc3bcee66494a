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
from tasks.accuracy import accuracies
from tasks.comparisons import joint_confidence
from tasks.dataset import real_test_images
from tasks.distances import RealFeatures, columns, frechet_difference, frechet_interval, real_features
from tasks.errors import IntegrityError
from tasks.files import write_json, write_table
from tasks.judge import Judge, load_critic
from tasks.params import Compute, Evaluate, Sweep, Variant
from tasks.paths import artifact, metrics_file, table_file
from tasks.precision import autocast, chosen_precision
from tasks.progress import track
from tasks.reproducibility import environment_record, prepare_compute
from tasks.sample import Array, Sampling, balanced_requests, sample_images
from tasks.sampler_names import sampler_name
from tasks.samples import load_samples
from tasks.starts import fitted_start
from tasks.weights import load_model

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sampler to try.

    Attributes:
        budget: how many evaluations it may take.
        sampler: takes as many, or as comes nearest to it from below.
    """

    budget: int
    sampler: SamplerSpec


@dataclass(frozen=True, slots=True)
class Seen:
    """A set of images as the critic sees them.

    Attributes:
        features: float32, shape (N, D).
        labels: the classes that the images should show, int64, shape (N,).
        accuracy: share of them that is taken for its class.
    """

    features: Tensor
    labels: Tensor
    accuracy: Interval


def run_sweep(
    variant: str, spec: Variant, sweep: Sweep, batch: int, evaluate: Evaluate, compute: Compute, seed: int
) -> dict[str, Any]:
    """Draw a variant's images by every sampler of the sweep, from the same seeds, and judge them by the critic.

    Writes ``reports/tables/sweep_<variant>.csv``, one row a sampler and number of evaluations, and its summary, in
    which as many real test images stand beside the rows. The first row is the variant's own sampler, judged on the
    samples that it has drawn before.

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
    bench = _bench(evaluate, compute, seed)
    seen = [bench.look(drawn_before(variant, seeds), labels)]
    attempts = candidates(spec, sweep)
    for attempt in track(iter(attempts), len(attempts), f"sweeping {variant}"):
        sampling = Sampling(diffusion, attempt.sampler, batch, device, precision, moments)
        seen.append(bench.look(_drawn(sampling, labels, seeds), labels))
    rows = bench.rows([own_attempt(spec), *attempts], seen)
    write_table(table_file(f"sweep_{variant}"), pd.DataFrame(rows))
    summary = {"variant": variant, "num_images": len(labels), "real": bench.real(sweep.per_class), "rows": rows}
    environment = environment_record(compute, device, chosen_precision(compute, device))
    write_json(metrics_file("sweep", variant), {**summary, "environment": environment})
    return summary


@dataclass(frozen=True, slots=True)
class Bench:
    """What every sampler's images are held to.

    Attributes:
        judge: the fitted critic.
        training: the training images in its eyes.
        confidence: of the intervals.
        seed: the user's seed.
    """

    judge: Judge
    training: RealFeatures
    confidence: float
    seed: int

    def look(self, images: Array, labels: Array) -> Seen:
        """What the critic sees in images uint8 [N, 28, 28] that should show these classes, int64 [N]."""
        features, logits = self.judge.features_and_logits(torch.from_numpy(images))
        wanted = torch.from_numpy(labels)
        found = accuracies(logits.argmax(dim=1), wanted, self.confidence)["accuracy"]
        return Seen(features, wanted, Interval(**found))

    def real(self, per_class: int) -> Row:
        """The figures of as many real test images, or of as many as there are."""
        split = real_test_images(per_class, self.seed)
        return {"num_images": len(split), **self._figures(self.look(split.images.numpy(), split.labels.numpy()))}

    def rows(self, attempts: list[Attempt], seen: list[Seen]) -> list[Row]:
        """A row an attempt: its sampler, its figures, and how far its distance is above that of the first.

        All comparisons with the first are looked at together, so their intervals are widened for their number.
        """
        own, others = seen[0], seen[1:]
        joint = joint_confidence(max(1, len(others)), self.confidence)
        gaps = [Interval(0.0, 0.0, 0.0), *(self._difference(images, own, joint) for images in others)]
        return [
            {**_description(attempt, attempts[0]), **self._figures(images), **columns("difference", gap)}
            for attempt, images, gap in zip(attempts, seen, gaps, strict=True)
        ]

    def _figures(self, seen: Seen) -> Row:
        distance = frechet_interval(seen.features, seen.labels, self.training, self.confidence, self.seed)
        return {**columns("fid", distance), **columns("accuracy", seen.accuracy)}

    def _difference(self, seen: Seen, own: Seen, confidence: float) -> Interval:
        return frechet_difference((seen.features, own.features), own.labels, self.training, confidence, self.seed)


def _description(attempt: Attempt, own: Attempt) -> Row:
    """A sampler in words, with its start where that is not the variant's own."""
    sampler = attempt.sampler
    name = sampler_name(sampler) + ("" if sampler.start == own.sampler.start else " from noise")
    return {"sampler": name, "budget": attempt.budget, "evaluations": evaluations(sampler)}


def _bench(evaluate: Evaluate, compute: Compute, seed: int) -> Bench:
    judge = load_critic(compute)
    return Bench(judge, real_features(judge, seed), evaluate.confidence, seed)


def own_attempt(spec: Variant) -> Attempt:
    """How the variant is sampled in the rest of the report; its own number of evaluations is its budget."""
    return Attempt(evaluations(spec.sampling), spec.sampling)


def candidates(spec: Variant, sweep: Sweep) -> list[Attempt]:
    """The samplers to try, each once and at its smallest budget, beside the variant's own.

    A DDPM is sampled by DDIM, without noise and with all of it, an EDM by the samplers that the sweep names; where it
    starts from its prior, its own is tried from pure noise too. What jumps is tried with other numbers of jumps alone.
    Heun's method takes as many steps as come nearest to the number of evaluations from below.

    Args:
        spec: the variant, whose other settings of the sampler stay.
        sweep: samplers and numbers of evaluations.
    """
    found: dict[SamplerSpec, Attempt] = {}
    for budget in sorted(sweep.evaluations):
        for sampler in _within(budget, spec, sweep):
            found.setdefault(sampler, Attempt(budget, sampler))
    found.pop(_as_ddim(spec.sampling), None)
    return list(found.values())


def _within(budget: int, spec: Variant, sweep: Sweep) -> list[SamplerSpec]:
    """The samplers that look at each image as often as a budget allows; none where guidance alone takes more."""
    own = spec.sampling
    looks = budget if own.guidance in (0.0, 1.0) else budget // 2
    if looks == 0:
        return []
    if isinstance(own, SigmaSamplerSpec):
        if own.kind == "consistency":  # levels beyond the tuned ones, and paths that it has unlearnt, say nothing
            return [_along_sigma(own, own.kind, looks)]
        noisy = [] if own.start == "noise" else [_from_noise(own, looks, sweep.noise_sigma_max)]
        return [*(_along_sigma(own, kind, looks) for kind in sweep.samplers), *noisy]
    if looks > getattr(spec.process, "steps", looks):
        return []
    return [replace(own, kind="ddim", steps=looks, eta=eta) for eta in (0.0, 1.0)]


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


def _as_ddim(sampler: SamplerSpec) -> SamplerSpec:
    """DDPM over all steps is DDIM with all the noise (Song et al. 2021, section 4.1)."""
    return replace(sampler, kind="ddim") if isinstance(sampler, DiscreteSamplerSpec) else sampler


def _along_sigma(own: SigmaSamplerSpec, kind: Any, looks: int) -> SigmaSamplerSpec:
    return replace(own, kind=kind, steps=(looks + 1) // 2 if kind == "heun" else looks, churn=0.0)


def _from_noise(own: SigmaSamplerSpec, looks: int, sigma_max: float) -> SigmaSamplerSpec:
    return replace(_along_sigma(own, own.kind, looks), start="noise", sigma_max=sigma_max)


def _drawn(sampling: Sampling, labels: Array, seeds: Array) -> Array:
    starts = range(0, len(labels), sampling.batch)
    parts = [slice(start, start + sampling.batch) for start in starts]
    return np.concatenate([sample_images(sampling, labels[part], seeds[part]) for part in parts])


sweep_task = task(name="sweep", cache_policy=NO_CACHE)(run_sweep)
