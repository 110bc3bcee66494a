"""The same trained model sampled in other ways: by other samplers, with fewer steps, and guided."""

from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from models.evaluations import evaluations, led_nowhere, levels_asked, levels_visited, plainest
from models.sampler_spec import MOST_STEPS, DiscreteSamplerSpec, SamplerSpec, SigmaSamplerSpec
from tasks.errors import IntegrityError
from tasks.files import write_json, write_table
from tasks.guidance import beside_unguided, guidance_rows, unguided, ways
from tasks.params import Compute, Evaluate, Sweep
from tasks.paths import artifact, metrics_file, table_file
from tasks.precision import chosen_precision
from tasks.progress import track
from tasks.redrawn import Bench, Row, drawn_again
from tasks.reproducibility import environment_record
from tasks.sample import Array, balanced_requests, prepared_sampling
from tasks.sampler_names import PRIOR_FIRST, sampler_name
from tasks.samples import load_samples
from tasks.variants import Variant


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sampler to try.

    Attributes:
        budget: how many evaluations it may take.
        sampler: takes as many, or as comes nearest to it from below.
    """

    budget: int
    sampler: SamplerSpec


def run_sweep(
    variant: str, spec: Variant, sweep: Sweep, batch: int, evaluate: Evaluate, compute: Compute, seed: int
) -> dict[str, Any]:
    """Draw a variant's images by every sampler of the sweep, from the same seeds, and judge them by the critic.

    Writes ``reports/tables/sweep_<variant>.csv``, one row a sampler and number of evaluations, and
    ``guidance_<variant>.csv``, see :mod:`tasks.guidance`, and their summary, in which as many real test images stand
    beside the rows. The first row is the variant's own sampler, judged on the samples that it has drawn before.

    Args:
        variant: its name.
        spec: its description.
        sweep: samplers, numbers of evaluations, and how many images are drawn with each.
        batch: images that are computed together.
        evaluate: confidence of the intervals, and neighbours.
        compute: device, threads and precision.
        seed: the user's seed.

    Raises:
        MissingResourceError: the variant has not been trained or sampled, or there is no critic.
        IntegrityError: weights were altered, or the samples are damaged or of other seeds.
    """
    sampling = prepared_sampling(variant, spec, batch, compute)  # every sampler tried starts as the variant's own
    labels, seeds = balanced_requests(sweep.per_class, seed)
    bench = Bench.of_build(evaluate, compute, seed)
    seen = [bench.look(drawn_before(variant, seeds), labels)]
    attempts = candidates(spec, with_rivals(spec, sweep))
    for attempt in track(iter(attempts), len(attempts), f"sweeping {variant}"):
        drawn = drawn_again(replace(sampling, sampler=attempt.sampler), labels, seeds)
        seen.append(bench.look(drawn, labels))
    own = own_attempt(spec)
    rows = bench.rows([described(attempt, own) for attempt in (own, *attempts)], seen)
    led = guidance_rows(variant, spec, sampling, sweep, bench)
    tried = {plainest(attempt.sampler) for attempt in (own, *attempts)}
    plain = [] if plainest(unguided(spec, sweep)) in tried else led[:1]
    guided = beside_unguided(led, [*plain, *zip(rows, seen, strict=True)], bench)
    write_table(table_file(f"sweep_{variant}"), pd.DataFrame(rows))
    write_table(table_file(f"guidance_{variant}"), pd.DataFrame(guided))
    found = {"real": bench.real(sweep.per_class), "rows": rows, "guidance": guided}
    summary = {"variant": variant, "num_images": len(labels), **found}
    environment = environment_record(compute, sampling.device, chosen_precision(compute, sampling.device))
    write_json(metrics_file("sweep", variant), {**summary, "environment": environment})
    return summary


def described(attempt: Attempt, own: Attempt) -> Row:
    """A sampler in words, with its start where that is not the variant's own."""
    name, looks = _named(attempt.sampler, own), evaluations(attempt.sampler)
    return {"sampler": name, "budget": attempt.budget, "evaluations": looks}


def _named(sampler: SamplerSpec, own: Attempt) -> str:
    if sampler.start == own.sampler.start:
        return sampler_name(sampler)
    by_prior = len(levels_asked(sampler)) < len(levels_visited(sampler))
    return f"{sampler_name(sampler)} from noise{PRIOR_FIRST if by_prior else ''}"


def own_attempt(spec: Variant) -> Attempt:
    """How the variant is sampled in the rest of the report; its own number of evaluations is its budget."""
    return Attempt(evaluations(spec.sampling), spec.sampling)


def with_rivals(spec: Variant, sweep: Sweep) -> Sweep:
    """The sweep with a budget for every number of evaluations that guidance takes, so that rivals may take as many."""
    guided = {evaluations(way) for way in ways(spec, sweep) if way.guidance != 1.0}
    return replace(sweep, evaluations=tuple(sorted({*sweep.evaluations, *guided})))


def candidates(spec: Variant, sweep: Sweep) -> list[Attempt]:
    """The samplers to try, those of other images than all others, at their smallest budget, beside the variant's own.

    A DDPM is sampled by DDIM, without noise and with all of it, an EDM by the samplers that the sweep names; where it
    starts from its prior, its own is tried from pure noise too: with the network asked as late as in its own, the prior
    taking the steps before, and with the network asked at every step. What jumps was taught one way, and has no other.
    Each takes as many steps as the number of evaluations allows, and is guided as the variant is. What would bear the
    name and the number of evaluations of the variant's own sampler is left out.

    Args:
        spec: the variant, whose other settings of the sampler stay.
        sweep: samplers and numbers of evaluations.
    """
    found: dict[SamplerSpec, Attempt] = {}
    for budget in sorted(sweep.evaluations):
        for sampler in _within(budget, spec, sweep):
            found.setdefault(plainest(sampler), Attempt(budget, sampler))
    found.pop(plainest(_as_ddim(spec.sampling)), None)
    own = own_attempt(spec)
    taken = _named(own.sampler, own), own.budget
    return [each for each in found.values() if (_named(each.sampler, own), evaluations(each.sampler)) != taken]


def _within(budget: int, spec: Variant, sweep: Sweep) -> list[SamplerSpec]:
    """The samplers with as many steps as a budget of evaluations allows.

    None where one step takes more, or where the steps that are left ask no network, or none where guidance acts.
    """
    longest = (_longest(sampler, budget) for sampler in _kinds(spec, sweep))
    most = getattr(spec.process, "steps", MOST_STEPS)
    known = [sampler for sampler in longest if sampler and sampler.steps <= most]
    return [sampler for sampler in known if levels_asked(sampler) and not led_nowhere(sampler)]


def _kinds(spec: Variant, sweep: Sweep) -> list[SamplerSpec]:
    own = spec.sampling
    if isinstance(own, DiscreteSamplerSpec):
        return [replace(own, kind="ddim", eta=eta) for eta in (0.0, 1.0)]
    if own.jumps:
        return []
    kinds = sorted(sweep.samplers, key=lambda kind: kind != own.kind)  # first, since same images bear the first's name
    found = [replace(own, kind=kind, churn=0.0) for kind in kinds]
    return [*found, *([] if own.start == "noise" else _from_noise(own, sweep.noise_sigma_max))]


def _from_noise(own: SigmaSamplerSpec, sigma_max: float) -> list[SamplerSpec]:
    late = replace(own, churn=0.0, start="noise", sigma_max=sigma_max)
    return [late, replace(late, mended_below=max(late.mended_below, sigma_max))]


def _longest(sampler: SamplerSpec, budget: int) -> SamplerSpec | None:
    """The sampler with as many steps as a budget of evaluations allows; None where it allows not one.

    Some steps take no evaluation, so there may be more of them than the budget says.
    """
    tries = (replace(sampler, steps=steps) for steps in range(1, MOST_STEPS + 1))
    return max(takewhile(lambda each: evaluations(each) <= budget, tries), key=lambda each: each.steps, default=None)


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


sweep_task = task(name="sweep", cache_policy=NO_CACHE)(run_sweep)
