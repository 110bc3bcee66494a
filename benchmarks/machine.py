"""What a measurement ran on, in a line of Markdown."""

import platform

import torch

from tasks.precision import processor


def machine_line() -> str:
    """Processor, threads and versions, since a figure without them says little."""
    parts = [processor(), f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"]
    return ", ".join([*parts, f"Python {platform.python_version()}"])
