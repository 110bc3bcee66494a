"""Parameters as a flat list with the same keys in every run, so that runs can be compared column by column."""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from tasks.files import sha256_json
from tasks.params import Compute, Critic, Data, Evaluate, Params, Prepare, Sample, Scorer, Sweep
from tasks.variants import Variant

ABSENT = "-"
TRAINED_BY = ("data", "prepare", "compute")
SAMPLED_BY = (*TRAINED_BY, "sample")
JUDGED_BY = (*SAMPLED_BY, "critic", "scorer", "evaluate")
# The parameter groups that bear on each run, those of the stages before it included. Under the run called `variant`
# stand those of a variant's stages, under `judges` those of the judges.
GROUPS = {
    "variant": TRAINED_BY,
    "train": TRAINED_BY,
    "sample": SAMPLED_BY,
    "score": (*SAMPLED_BY, "scorer", "evaluate"),
    "evaluate": (*SAMPLED_BY, "critic", "evaluate"),
    "sweep": (*SAMPLED_BY, "critic", "evaluate", "sweep"),
    "critic": (*TRAINED_BY, "critic", "evaluate"),
    "scorer": (*TRAINED_BY, "scorer", "evaluate"),
    "references": JUDGED_BY,
    "judges": JUDGED_BY,
}
_TYPES: dict[str, type] = {
    "compute": Compute,
    "data": Data,
    "prepare": Prepare,
    "critic": Critic,
    "scorer": Scorer,
    "sample": Sample,
    "evaluate": Evaluate,
    "sweep": Sweep,
}
_PLACES = ("data.folders", "data.mirrors", "data.timeout_s", "data.attempts")
"""Keys that say where data comes from, not what it is."""


def run_params(params: Params, stage: str, variant: str | None) -> dict[str, str]:
    """Every known key with its value, or ``-`` where it does not bear on the run.

    Args:
        params: all parameters.
        stage: a key of :data:`GROUPS`.
        variant: the variant the run is about, or None.
    """
    values: dict[str, Any] = {"seed": params.seed, "variant": variant or ABSENT}
    for group in GROUPS[stage]:
        values.update(_flat(asdict(getattr(params, group)), group))
    if variant:
        values.update(_variant_values(params.variants[variant], stage))
    else:
        values["compute.precision"] = ABSENT  # judges are fitted and asked in float32 whatever it says
    return {key: _text(values.get(key, ABSENT)) for key in _known_keys()}


def run_identity(params: Params, stage: str, variant: str | None, data_sha256: str, training: Mapping[str, str]) -> str:
    """What makes two runs of a stage the same: its parameters and its data, and of a training what it resumes by.

    Args:
        params: all parameters.
        stage: a key of :data:`GROUPS`.
        variant: the variant, or None.
        data_sha256: digest of the prepared data.
        training: see :func:`tasks.lineage.training_marks`; counts for the runs that hold a training's history.
    """
    values = {key: value for key, value in run_params(params, stage, variant).items() if key != "title"}
    marks = {"training": dict(training)} if stage in ("train", "variant") else {}
    return sha256_json({"stage": stage, "data": data_sha256, **marks, **values})


def _variant_values(spec: Variant, stage: str) -> dict[str, Any]:
    """What is set for a variant; how it is sampled bears on all of its runs but the training."""
    return _flat({name: part for name, part in asdict(spec).items() if (stage, name) != ("train", "sampling")}, "")


def _known_keys() -> list[str]:
    keys = {"seed", "variant", *_keys_of(Variant, "")}
    for group, kind in _TYPES.items():
        keys |= _keys_of(kind, group)
    return sorted(keys.difference(_PLACES))


def _keys_of(kind: Any, prefix: str) -> set[str]:
    """Dotted keys of a dataclass; a union contributes the keys of all its members."""
    keys: set[str] = set()
    for name, hint in get_type_hints(kind).items():
        if name in {field.name for field in fields(kind)}:
            path = f"{prefix}.{name}".lstrip(".")
            nested = [member for member in (hint, *get_args(hint)) if is_dataclass(member)]
            keys |= {key for member in nested for key in _keys_of(member, path)} if nested else {path}
    return keys


def _flat(value: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    parts = (_flat(part, f"{prefix}.{name}".lstrip(".")) for name, part in value.items())
    return {key: item for part in parts for key, item in part.items()}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value) or ABSENT
