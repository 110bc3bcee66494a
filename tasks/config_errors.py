"""From a list of validation failures to the one line a user can act on."""

from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import ConfigError

EXPECTED = {
    "missing": "a value here",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "dataclass_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "string_pattern_mismatch": "lower-case letters, digits and underscores, 32 at most, beginning with a letter",
    "union_tag_not_found": "a `kind`",
}
LONGEST_VALUE = 60


def first_problem(error: ValidationError, content: dict[str, Any], name: str) -> ConfigError:
    """The first failure of a validation, as the user wrote the value.

    Args:
        error: what the validator found.
        content: the mapping that was validated.
        name: the file's name, for the message.
    """
    details = error.errors(include_url=False)
    problem = next((item for item in details if item["type"] == "unexpected_keyword_argument"), details[0])
    absent = problem["type"] in ("missing", "unexpected_keyword_argument")
    keys = _path_in(content, problem["loc"], absent)
    if problem["type"] == "unexpected_keyword_argument":
        return unknown_key(dotted(keys), _known_keys(details, content, keys), name)
    suffix, expected = _expectation(problem, details)
    if suffix:
        keys = (*keys, *suffix.split("."))
    value = _value_at(content, keys)
    missing_key = problem["type"] == "missing" and not isinstance(value, list)
    what = "is missing" if missing_key else f"got {_shown(value)}"
    return ConfigError(f"{name}: {dotted(keys)}", what, expected, "correct the value")


def unknown_key(key: str, known: list[str], name: str) -> ConfigError:
    """An error for a key that nothing reads, naming the nearest key that something does read."""
    last = key.rpartition(".")[2]
    close = get_close_matches(last, known, n=1, cutoff=0.5)
    expected = f"`{close[0]}`" if close else f"one of {', '.join(sorted(known))}"
    return ConfigError(f"{name}: {key}", "is not a known key", expected, "correct or remove it")


def dotted(keys: tuple[str | int, ...]) -> str:
    """``("a", "b", 0)`` as ``a.b[0]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.lstrip(".") or "the file"


def _expectation(problem: ErrorDetails, details: list[ErrorDetails]) -> tuple[str, str]:
    """The key below the failing mapping, if the failure names one, and what was expected there."""
    if problem["type"] == "value_error":
        key, _, expected = str(problem["ctx"]["error"]).partition("|")
        return key, expected
    if problem["type"] == "missing" and isinstance(problem["loc"][-1], int):
        indices = [item["loc"][-1] for item in details if item["loc"][:-1] == problem["loc"][:-1]]
        return "", f"{1 + max(index for index in indices if isinstance(index, int))} entries"
    context = problem.get("ctx", {})
    if problem["type"] in ("literal_error", "union_tag_invalid"):
        allowed = context.get("expected") or context.get("expected_tags")
        return ("kind" if problem["type"] == "union_tag_invalid" else ""), f"one of {allowed}"
    return "", EXPECTED.get(problem["type"], problem["msg"].removeprefix("Input should be ").lower())


def _path_in(content: dict[str, Any], location: tuple[str | int, ...], absent: bool) -> tuple[str | int, ...]:
    """The parts of a validator's location that are keys of the file, not tags of a union.

    Args:
        content: the mapping that was validated.
        location: the validator's path to the failure.
        absent: whether the last part names a key that is missing or unknown, and so may not be found.
    """
    keys: list[str | int] = []
    here: Any = content
    for index, part in enumerate(location):
        in_list = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if in_list or (isinstance(here, dict) and part in here):
            here = here[part]
            keys.append(part)
        elif absent and index == len(location) - 1 and isinstance(here, dict):
            keys.append(part)
    return tuple(keys)


def _value_at(content: Any, keys: tuple[str | int, ...]) -> Any:
    for key in keys:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return content
    return content


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _known_keys(details: list[ErrorDetails], content: dict[str, Any], keys: tuple[str | int, ...]) -> list[str]:
    """Keys the validator knows beside the unknown one: those it found, and those it misses."""
    siblings = _value_at(content, keys[:-1])
    unknown = {item["loc"][-1] for item in details if item["type"] == "unexpected_keyword_argument"}
    missing = {item["loc"][-1] for item in details if item["type"] == "missing"}
    names = {key for key in missing if isinstance(key, str)}  # a number counts the entries of a list
    return sorted({str(key) for key in siblings if key not in unknown} | names)
