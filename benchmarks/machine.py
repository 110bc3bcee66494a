"""What a measurement ran on, in a line of Markdown."""

import platform
from pathlib import Path

import torch

from tasks.config import PARAMS
from tasks.files import sha256_file, sha256_json
from tasks.precision import processor

MEASURED = ("models", "tasks", "flows", "benchmarks")


def machine_line() -> str:
    """Processor, threads and versions, since a figure without them says little."""
    parts = [processor(), f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"]
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def code_mark() -> str:
    """Twelve digits of a hash of the parameters, their profiles, and all code that is measured, or measures."""
    root = Path(__file__).parents[1]
    files = sorted(path for folder in MEASURED for path in (root / folder).rglob("*.py"))
    files += sorted((root / "profiles").glob("*.yaml"))
    hashes = {str(path.relative_to(root)): sha256_file(path) for path in files}
    return sha256_json({**hashes, str(PARAMS): sha256_file(PARAMS)})[:12]
