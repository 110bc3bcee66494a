"""What ``make bench`` measured of the models beside other libraries, as the report tells it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.errors import IntegrityError
from tasks.evidence import Evidence, Json, VariantEvidence
from tasks.files import as_json, read_json
from tasks.sampler_names import sampler_name
from tasks.variants import WATCHING, Variant

SUMMARY = Path("benchmarks/results/summary.json")
"""Written by ``make bench``; it names the machine that it was measured on."""
TOLD = frozenset(
    {"machine", "precision", "confidence", "variants", "parameters", "real", "seconds", "images", "targets", "rows"}
)
ROW = frozenset({"name", "settings", "images_per_second", "looks", "times", "fid", "judged"})
"""What is read of it, and of each contender's row."""


def side_by_side(evidence: Evidence) -> Json | None:
    """The comparison to tell of; None where none was made, and on drawn garments, of which it says nothing.

    Raises:
        IntegrityError: its file is damaged, or of another version.
    """
    if evidence.drawn or not SUMMARY.is_file():
        return None
    found: Json = read_json(SUMMARY)
    missing = sorted((TOLD - found.keys()).union(*(ROW - row.keys() for row in found.get("rows", []))))
    if missing:
        what, do = f"does not tell {', '.join(missing)}", f"run `make bench`, or remove {SUMMARY}"
        raise IntegrityError(str(SUMMARY), what, "what this version of `make bench` writes", do)
    return found


def in_few_words(spec: Variant) -> str:
    """How large a variant's network is, how it is trained and how sampled, as the results name it."""
    training, channels = spec.training, "/".join(map(str, spec.network.channels))
    trained = f"{channels} channels, {training.steps} steps of {training.batch}, {training.optimizer.title()}"
    return f"{trained}, {sampler_name(spec.sampling)}"


def measured_otherwise(found: Json, evidence: Evidence) -> list[str]:
    """The titles of the models that this build describes or builds otherwise than those of their names when measured.

    What is off or empty counts as not said: settings come and go between versions, and one that nobody uses does
    nothing. A network that the code builds otherwise from the same settings shows in the number of its parameters.
    """
    measured = {name: (said(settings), found["parameters"].get(name)) for name, settings in found["variants"].items()}
    known = [variant for variant in evidence.variants if variant.name in measured]
    return [variant.spec.title for variant in known if _measurable(variant) != measured[variant.name]]


def _measurable(variant: VariantEvidence) -> tuple[Any, int]:
    return said(described(variant.spec)), variant.train["parameters"]


def said(settings: Any) -> Any:
    """Settings without those that are off or empty, at any depth; as JSON has them."""
    if not isinstance(settings, dict):
        return settings
    kept = {key: said(value) for key, value in settings.items()}
    return {key: value for key, value in kept.items() if value}


def described(spec: Variant) -> Json:
    """All of a variant on which its images or its speed depend, as JSON has it."""
    plain = as_json(asdict(spec))
    training = {key: value for key, value in plain["training"].items() if key not in WATCHING}
    return {**{key: value for key, value in plain.items() if key != "title"}, "training": training}
