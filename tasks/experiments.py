"""Experiments of the source's questions: variants that differ in one thing alone, and what their comparison says."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from models.spec import DdpmSpec
from tasks.alike import computed_alike
from tasks.evidence import Evidence, VariantEvidence, interval_beside
from tasks.guidance_findings import strongest_sentences
from tasks.model_findings import compared, paired_sentence
from tasks.noise_left import GONE, audit_of
from tasks.pairing import Pairs
from tasks.sweep_findings import own_row, sampler_text, steps_sentences
from tasks.variants import WATCHING, Variant
from tasks.wording import Markdown, count, evaluations_text, number_interval, told

Contrast = tuple[VariantEvidence, VariantEvidence]
"""Two variants, the changed one first: it is the later of the two in ``params.yaml``."""


SCHEDULE = frozenset(f"process.{key}" for key in ("schedule", "beta_start", "beta_end", "zero_terminal"))
"""Settings that say how fast images are destroyed."""

GUIDANCE = frozenset({"sampling.guidance", "sampling.guide", "sampling.guided_sigma"})
"""Settings that say how samples are led."""

JUMPING = frozenset({"training.steps", "training.distil_steps", "training.distilled", "sampling.jump_steps"})
"""Settings in which a model that was taught to jump differs from the one that was not."""

PRIOR = frozenset(f"process.{key}" for key in ("prior", "components", "rank", "subspace"))
"""Settings that say what a network is given to mend."""


def differing(evidence: Evidence, settings: frozenset[str]) -> list[Contrast]:
    """Every two variants that differ in some of these settings and in no other but their titles.

    Args:
        evidence: the build's measurements.
        settings: dotted keys below a variant.
    """
    pairs = itertools.combinations(evidence.variants, 2)
    return [(later, earlier) for earlier, later in pairs if _is_between(_changed(earlier.spec, later.spec), settings)]


def lessons(evidence: Evidence) -> list[Contrast]:
    """Every two variants of which one is the other, taught to jump: trained alike before, and sampled likewise."""
    return [pair for pair in differing(evidence, JUMPING) if _is_taught_from(pair[0].spec, pair[1].spec)]


def head_starts(evidence: Evidence) -> list[Contrast]:
    """Every two variants that differ in what the network mends; it may mend less of what a better prior knows."""
    found = differing(evidence, PRIOR | {"sampling.mended_below"})
    return [(later, earlier) for later, earlier in found if later.spec.process != earlier.spec.process]


def repairs(evidence: Evidence) -> list[Contrast]:
    """Every two variants that differ in their schedule alone, of which one reaches noise; that one first."""
    found = differing(evidence, SCHEDULE)
    ordered = [(pair if reaches_noise(evidence, pair[0]) else pair[::-1]) for pair in found]
    return [(whole, cut) for whole, cut in ordered if reaches_noise(evidence, whole) > reaches_noise(evidence, cut)]


def reaches_noise(evidence: Evidence, variant: VariantEvidence) -> bool:
    """Whether next to nothing of the images is left at the last step; true of a process without a last step."""
    process = variant.spec.process
    if not isinstance(process, DdpmSpec):
        return True
    return audit_of(process, evidence.prepare["pixel_mean"]).amplitude < GONE


EXPERIMENTS: Mapping[str, Callable[[Evidence], list[Contrast]]] = {
    "repair": repairs,
    "start": partial(differing, settings=frozenset({"sampling.start"})),
    "target": partial(differing, settings=frozenset({"process.target"})),
    "prior": head_starts,
    "repeat": partial(differing, settings=frozenset({"training.repeat"})),
    "steps": partial(differing, settings=frozenset({"sampling.steps"})),
    "jumps": lessons,
    "guidance": partial(differing, settings=GUIDANCE),
    "width": partial(differing, settings=frozenset({"network.channels", "network.blocks"})),
}
"""The variants whose settings answer a question, by its key in :mod:`tasks.questions`."""

SWEPT: Mapping[str, Callable[[Evidence], list[str]]] = {"steps": steps_sentences, "guidance": strongest_sentences}
"""What sweeps of single models say to a question."""


def contrasts(key: str, evidence: Evidence) -> list[Contrast]:
    """The comparisons that answer a question.

    Args:
        key: of :data:`EXPERIMENTS`.
        evidence: the build's measurements.
    """
    return [pair for pair in EXPERIMENTS[key](evidence) if computed_alike(*pair)]


def confounded(key: str, evidence: Evidence) -> list[Contrast]:
    """The comparisons that would answer a question, had both variants been computed alike; see :func:`contrasts`."""
    return [pair for pair in EXPERIMENTS[key](evidence) if not computed_alike(*pair)]


def asked(evidence: Evidence) -> set[frozenset[str]]:
    """The comparisons that a build makes whatever is measured: its variants with the baseline, and its contrasts.

    Returns:
        The names of the two variants of each.
    """
    baseline = evidence.baseline()
    pairs = [(variant, baseline) for variant in compared(evidence)] if baseline else []
    pairs += [contrast for key in EXPERIMENTS for contrast in contrasts(key, evidence)]
    return {frozenset((one.name, other.name)) for one, other in pairs}


def is_answered(key: str, evidence: Evidence) -> bool:
    """Whether a build has contrasts, or a sweep, that answer a question.

    Args:
        key: of :data:`EXPERIMENTS`.
        evidence: the build's measurements.
    """
    return bool(contrasts(key, evidence) or _swept(key, evidence))


def experiment_text(key: str, evidence: Evidence, pairs: Pairs, confidence: float) -> Markdown:
    """What a build's contrasts say to a question: class accuracy image by image, and the distance to real images.

    To some its sweeps say something too: of one model with several numbers of steps, or guided.

    Args:
        key: of :data:`EXPERIMENTS`.
        evidence: the build's measurements.
        pairs: its comparisons.
        confidence: of the intervals.
    """
    found = [_sentence(contrast, pairs, confidence) for contrast in contrasts(key, evidence)]
    return told([*found, *_swept(key, evidence)], indent="    ")


def _swept(key: str, evidence: Evidence) -> list[str]:
    told = SWEPT.get(key)
    return told(evidence) if told else []


def _sentence(contrast: Contrast, pairs: Pairs, confidence: float) -> str:
    distances = [f"{_distance(variant)} for {variant.spec.title}" for variant in contrast]
    told = f"{paired_sentence(*contrast, pairs, confidence)} FID {' and '.join(distances)}."
    return " ".join([told, _price(contrast[0]), *_untaught(*contrast)]) if contrast[0].jumps else told


def _price(variant: VariantEvidence) -> str:
    """What a model that jumps takes of evaluations and of training."""
    looks, steps = evaluations_text(variant.sample["evaluations"]), count(variant.spec.training.distil_steps)
    return f"{variant.spec.title} takes {looks} an image, after {steps} more steps of training."


def _untaught(taught: VariantEvidence, other: VariantEvidence) -> list[str]:
    """What the model that was not taught makes of as few evaluations, from the sweeps, which draw the same seeds."""
    own = own_row(taught)
    rows = [row for row in other.sweep["rows"] if row["evaluations"] <= own["evaluations"]]
    if not rows:
        return []
    rival = min(rows, key=lambda row: float(row["fid"]))
    mine, its = (number_interval(interval_beside(row, "fid")) for row in (own, rival))
    drawn = f"Of {count(taught.sweep['num_images'])} images by as few evaluations"
    return [f"{drawn} the FID is {mine}, and that of {other.spec.title}, by {sampler_text(rival)}, {its}."]


def _distance(variant: VariantEvidence) -> str:
    return number_interval(interval_beside(variant.evaluate, "fid"))


def _is_taught_from(one: Variant, other: Variant) -> bool:
    alike_before = one.training.denoising_steps == other.training.denoising_steps
    return alike_before and one.training.distil_steps > 0 and other.training.distil_steps == 0


def _is_between(changed: set[str], settings: frozenset[str]) -> bool:
    return bool(changed) and changed <= settings


def _changed(one: Variant, other: Variant) -> set[str]:
    flat = _settings(one), _settings(other)
    return {key for key in flat[0] | flat[1] if flat[0].get(key) != flat[1].get(key)}


def _settings(spec: Variant) -> dict[str, Any]:
    """A variant's settings by dotted key, without its title and how its training is looked at."""
    groups = {group: fields for group, fields in asdict(spec).items() if group != "title"}
    found = {f"{group}.{key}": value for group, fields in groups.items() for key, value in fields.items()}
    return {key: value for key, value in found.items() if key.removeprefix("training.") not in WATCHING}
