"""Quality against coverage: the same trained model led away from worse ones, more and less."""

from dataclasses import replace

from models.evaluations import evaluations, levels_guided
from models.sampler_spec import DiscreteSamplerSpec, SamplerSpec, SigmaSamplerSpec
from tasks.comparisons import joint_confidence
from tasks.guides import early_state
from tasks.params import Sweep
from tasks.progress import track
from tasks.redrawn import Bench, Row, Seen, drawn_again
from tasks.sample import Sampling, balanced_requests
from tasks.sampler_names import guide_name, sampler_name
from tasks.variants import Variant

SeenRow = tuple[Row, Seen]
"""The figures of a set of images, and what the judge saw in it."""


def guidance_rows(variant: str, spec: Variant, sampling: Sampling, sweep: Sweep, bench: Bench) -> list[SeenRow]:
    """Draw a variant's images unguided and by every guide and scale, from the same seeds, and judge them.

    Args:
        variant: its name.
        spec: its description.
        sampling: the model, as it is sampled otherwise.
        sweep: how many images, the scales, and the noise levels between which guidance is tried alone.
        bench: the judge.

    Returns:
        A row a guide and scale, that without guidance first: ``guide``, ``scale``, ``sampler``, ``evaluations``
        and the columns of :meth:`tasks.redrawn.Bench.rows`; each with what the judge saw.

    Raises:
        IntegrityError: the early state of the training was altered.
    """
    labels, seeds = balanced_requests(sweep.per_class, bench.seed)
    samplers = ways(spec, sweep)
    if any(sampler.guide == "early" for sampler in samplers):
        sampling = replace(sampling, guide=early_state(variant, spec, sampling.device))
    drawn = (drawn_again(replace(sampling, sampler=sampler), labels, seeds) for sampler in samplers)
    seen = [bench.look(images, labels) for images in track(drawn, len(samplers), f"guiding {variant}")]
    return list(zip(bench.rows([_description(sampler) for sampler in samplers], seen), seen, strict=True))


def beside_unguided(guided: list[SeenRow], unguided: list[SeenRow], bench: Bench) -> list[Row]:
    """What guidance is worth beside more evaluations without it.

    Args:
        guided: rows and what the judge saw, the first without guidance.
        unguided: the same of every sampler without guidance that may be a rival, each once, from the same seeds.
        bench: the judge.

    Returns:
        The rows, those with guidance with ``rival``, the unguided sampler of the smallest distance that takes at most
        as many evaluations, its ``rival_evaluations`` and ``rival_fid``, and with ``beyond``, how far their own
        distance is above that. Its interval is widened for all pairs of a row and a sampler that might have been
        picked as its rival, so that it holds for the one that was picked after looking.
    """
    (plain, _), *led = guided
    fair = [[rival for rival in unguided if rival[0]["evaluations"] <= row["evaluations"]] for row, _ in led]
    joint = joint_confidence(max(1, sum(map(len, fair))), bench.confidence)
    return [plain, *(_beside(*each, rivals, joint, bench) for each, rivals in zip(led, fair, strict=True))]


def _beside(row: Row, seen: Seen, fair: list[SeenRow], confidence: float, bench: Bench) -> Row:
    rival, its = min(fair, key=lambda pair: float(pair[0]["fid"]))
    told = {f"rival_{key}": rival[key] for key in ("evaluations", "fid")}
    return {**row, "rival": rival["sampler"], **told, **bench.difference(seen, its, confidence).columns("beyond")}


def ways(spec: Variant, sweep: Sweep) -> list[SamplerSpec]:
    """The samplers to compare: the variant's own without guidance, and led by each guide at each scale.

    The model without the class is a guide where training has hidden labels, at all noise levels and, for an EDM, also
    between two of them, where that is neither at all levels nor at none. An early state is one where training has kept
    one. A DDPM is drawn by DDIM, in as few steps as keep it within the largest budget of the sweep when it is guided. A
    variant that is guided otherwise is left as it is without guidance: whoever guides it compares it with another. So
    is one that jumps, whose last answer is an image.
    """
    plain = unguided(spec, sweep)
    if spec.sampling.guidance != 1.0 or spec.sampling.jumps:
        return [plain]
    found: list[SamplerSpec] = [plain]
    for scale in sorted(sweep.guidance.scales):
        led = replace(plain, guidance=scale)
        found += _without_class(led, sweep) if spec.training.label_drop > 0.0 else []
        found += [replace(led, guide="early")] if spec.training.snapshots > 1 else []
    return found


def unguided(spec: Variant, sweep: Sweep) -> SamplerSpec:
    """The sampler of the comparison's first row; see :func:`ways`."""
    own = spec.sampling.unguided
    if isinstance(own, SigmaSamplerSpec):
        return own
    steps = min(own.steps, max(1, max(sweep.evaluations) // 2))
    return replace(own, kind="ddim", steps=steps, eta=0.0)


def _without_class(led: SamplerSpec, sweep: Sweep) -> list[SamplerSpec]:
    if isinstance(led, DiscreteSamplerSpec):
        return [led]
    between = replace(led, guided_sigma=sweep.guidance.sigma)
    some = 0 < len(levels_guided(between)) < len(levels_guided(led))
    return [led, between] if some else [led]


def _description(sampler: SamplerSpec) -> Row:
    looks = {"sampler": sampler_name(sampler), "evaluations": evaluations(sampler)}
    return {"guide": guide_name(sampler), "scale": sampler.guidance, **looks}
