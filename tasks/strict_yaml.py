"""Reading a YAML mapping without surprises: bounded, without aliases, and meaning the same in YAML 1.1 and 1.2."""

import math
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tasks.errors import ConfigError, MissingResourceError

LARGEST_BYTES = 1 << 20
CORE_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null"))
# Plain words that a YAML 1.1 reader takes for a truth value, an octal, a base-60 number or a text, and 1.2 does not.
AMBIGUOUS = re.compile(
    r"(?i:yes|no|on|off|y|n)|[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9]*)?"
    r"|[-+]?[0-9]+(_[0-9]+)+|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?[0-9]*\.[0-9]*[eE][0-9]+"
)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        MissingResourceError: there is no such file.
        ConfigError: it is too large, not UTF-8, not YAML, not a mapping, or holds a value with two readings.
    """
    text = _read_text(path)
    try:
        reader = YAML(typ="safe", pure=True)
        root = reader.compose(text)
        if not isinstance(root, MappingNode):
            raise ConfigError(str(path), "is not a mapping", "`key: value` lines", "restore it from git")
        _refuse_ambiguous(root, "", path)
        content: dict[str, Any] = reader.constructor.construct_document(root)
    except YAMLError as error:
        raise ConfigError(str(path), _summary(error), "valid YAML with each key once", "correct that line") from None
    except RecursionError:
        raise ConfigError(str(path), "is nested too deeply", "a few levels", "restore it from git") from None
    _refuse_non_finite(content, "", path)
    return content


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise MissingResourceError(str(path), "is missing", "a YAML file", "run from the project folder")
    if path.stat().st_size > LARGEST_BYTES:
        raise ConfigError(str(path), f"is larger than {LARGEST_BYTES} bytes", "a small file", "restore it from git")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8", "a UTF-8 text file", "save it as UTF-8") from None


def _refuse_ambiguous(node: Node, key: str, path: Path) -> None:
    if node.anchor is not None or not (node.tag or "").startswith(CORE_TAGS):
        raise ConfigError(f"{path}: {key}", "uses an anchor, alias or tag", "plain values", "write it out")
    if isinstance(node, MappingNode):
        for name, value in node.value:
            _refuse_ambiguous(value, f"{key}.{name.value}".lstrip("."), path)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            _refuse_ambiguous(value, f"{key}[{index}]", path)
    elif isinstance(node, ScalarNode) and node.style is None and AMBIGUOUS.fullmatch(node.value):
        what = f"{node.value} means different things to different YAML readers"
        raise ConfigError(f"{path}: {key}", what, "a plain number such as 0.001, or a quoted text", "rewrite it")


def _refuse_non_finite(value: Any, key: str, path: Path) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_non_finite(item, f"{key}.{name}".lstrip("."), path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_non_finite(item, f"{key}[{index}]", path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}: {key}", f"got {value}", "a finite number", "correct the value")


def _summary(error: YAMLError) -> str:
    """What is wrong, and from where to where: a quote that is never closed is missed far below it."""
    problem = (getattr(error, "problem", None) or str(error)).splitlines()[0]
    marks = (getattr(error, name, None) for name in ("context_mark", "problem_mark"))
    lines = sorted({mark.line + 1 for mark in marks if mark})
    where = f"line{'s' if len(lines) > 1 else ''} {' to '.join(map(str, lines))}"
    return f"{problem} ({where})" if lines else problem
