"""The one reader of ``params.yaml``: strict, typed, and fast enough to run before torch is imported."""

import argparse
import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.config_errors import first_problem, unknown_key
from tasks.errors import ConfigError, PipelineError
from tasks.params import Params
from tasks.strict_yaml import read_mapping

PARAMS = Path("params.yaml")
PROFILES = Path("profiles")
VARIANTS = "variants"
LIKE = "like"


def load_params(path: Path = PARAMS, profile: Path | None = None) -> Params:
    """Read and check a parameter file, with a profile laid over it if one is given.

    Args:
        path: the full file.
        profile: see :func:`with_profile`.

    Raises:
        ConfigError: the first problem found, with its dotted key, the value and what is expected.
    """
    content = read_mapping(path)
    params = parse_params(content, str(path))
    if profile is None:
        return params
    return parse_params(with_profile(content, read_mapping(profile), str(profile)), str(profile))


def parse_params(content: dict[str, Any], name: str) -> Params:
    """Turn a plain mapping into checked parameters; ``name`` stands for it in errors.

    Raises:
        ConfigError: the first problem found.
    """
    content = _as_taught(content)
    try:
        return TypeAdapter(Params).validate_json(json.dumps(content))
    except ValidationError as error:
        raise first_problem(error, content, name) from None


def _as_taught(content: dict[str, Any]) -> dict[str, Any]:
    """The same with the sampler that was taught where a variant's sampling refers to it."""
    if not isinstance(variants := content.get(VARIANTS), dict):
        return content
    told = {key: _sampled_as_taught(variant) for key, variant in variants.items()}
    return {**content, VARIANTS: told}


def _sampled_as_taught(variant: Any) -> Any:
    taught = isinstance(variant, dict) and variant.get("sampling") == {"kind": "distilled"}
    training = variant.get("training") if taught else None
    sampler = training.get("distilled") if isinstance(training, dict) else None
    return {**variant, "sampling": sampler} if sampler else variant


def profile_file(profile: str, root: Path = Path()) -> Path:
    """Where a profile's overlay lies below the project's ``root``.

    Raises:
        ConfigError: there is no such profile.
    """
    known = sorted(path.stem for path in (root / PROFILES).glob("*.yaml"))
    if profile not in known:
        raise ConfigError("--profile", f"got {profile!r}", f"one of {', '.join(known)}", "correct the name")
    return root / PROFILES / f"{profile}.yaml"


def with_profile(base: dict[str, Any], changes: dict[str, Any], name: str) -> dict[str, Any]:
    """The full parameters under a profile: it changes keys, lists whole, and may add variants.

    A new variant says which one it is ``like``, as that one stands at this place of the profile, and how it differs.

    Raises:
        ConfigError: an unknown key, named with its nearest known neighbour.
    """
    changed = changes.get(VARIANTS)
    if not isinstance(changed, dict) or not isinstance(base.get(VARIANTS), dict):
        return overlay(base, changes, name)
    merged = overlay(base, {key: value for key, value in changes.items() if key != VARIANTS}, name)
    for key, change in changed.items():
        merged[VARIANTS] = _with_variant(merged[VARIANTS], key, change, name)
    return merged


def _with_variant(variants: dict[str, Any], key: str, change: Any, name: str) -> dict[str, Any]:
    if key in variants or not isinstance(change, dict) or LIKE not in change:
        return overlay(variants, {key: change}, name, f"{VARIANTS}.")
    if change[LIKE] not in variants:
        place, known = f"{name}: {VARIANTS}.{key}.{LIKE}", ", ".join(variants)
        raise ConfigError(place, f"got {change[LIKE]!r}", f"one of {known}", "name one of these")
    differences = {setting: value for setting, value in change.items() if setting != LIKE}
    return {**variants, key: overlay(copy.deepcopy(variants[change[LIKE]]), differences, name, f"{VARIANTS}.{key}.")}


def overlay(base: dict[str, Any], changes: dict[str, Any], name: str, prefix: str = "") -> dict[str, Any]:
    """Lay a profile's keys over the full parameters, refusing keys that the base does not have.

    A mapping whose ``kind`` differs from the base's replaces it whole, since another kind has other keys.

    Raises:
        ConfigError: an unknown key, named with its nearest known neighbour.
    """
    merged = dict(base)
    for key, value in changes.items():
        if key not in base:
            raise unknown_key(f"{prefix}{key}", list(base), name)
        both = isinstance(value, dict) and isinstance(base[key], dict)
        same_kind = both and value.get("kind", base[key].get("kind")) == base[key].get("kind")
        merged[key] = overlay(base[key], value, name, f"{prefix}{key}.") if same_kind else value
    return merged


def main(arguments: list[str]) -> int:
    """Check ``params.yaml``, alone or under the profiles named; used by ``make`` before anything slow starts."""
    parser = argparse.ArgumentParser("python -m tasks.config", description="Check params.yaml; silent if it is right.")
    parser.add_argument("profiles", nargs="*", metavar="profile", help="a file of profiles/, by name, to lay over it")
    try:
        for profile in parser.parse_args(arguments).profiles or [""]:
            load_params(PARAMS, profile_file(profile) if profile else None)
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
