"""Drawing by the clock."""

import time

from tasks.redrawn import drawn_again
from tasks.sample import Array, Sampling


def drawn_in_time(sampling: Sampling, labels: Array, seeds: Array) -> tuple[Array, float]:
    """Images, and how many came in a second after a first batch that is not counted.

    Args:
        sampling: a trained model with its sampler.
        labels: the class of each image, int64, shape (N,).
        seeds: of each image, int64, shape (N,).

    Returns:
        Images, uint8, shape (N, 28, 28), and images a second.
    """
    drawn_again(sampling, labels[: sampling.batch], seeds[: sampling.batch])  # pays for memory and kernels
    start = time.monotonic()
    drawn = drawn_again(sampling, labels, seeds)
    return drawn, len(labels) / (time.monotonic() - start)
