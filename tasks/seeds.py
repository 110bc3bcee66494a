"""Where randomness comes from: one stream of numbers for each purpose and position."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, purpose: str, *indices: int) -> int:
    """A 63-bit seed that depends on the user's seed, what it is for, and a position.

    Different purposes and positions give unrelated streams, so that a run resumed at step n draws what an unbroken
    run drew at step n. Torch's generator on the CPU reads the low 32 bits alone: of n streams, two are the same with a
    chance of about n^2 / 2^33. A training may draw one step's noise twice; images may not, see :func:`image_seed`.
    """
    text = "/".join([str(seed), purpose, *map(str, indices)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def image_seed(seed: int, number: int) -> int:
    """The seed of one of a user's images, below 2^32; different for each of the first 2^32 numbers.

    The images are counted on from where the user's seed says, modulo 2^32, since that is all torch's generator on the
    CPU reads of a seed; hashes of so few bits would soon give two images of a sample the same noise.
    """
    return (derived_seed(seed, "sample") + number) % 2**32


def training_seed(seed: int, repeat: int) -> int:
    """The seed of one of several trainings of the same settings; the first has the user's own."""
    return derived_seed(seed, "training", repeat) if repeat else seed


def numpy_generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """A numpy generator for one purpose and position; see :func:`derived_seed`."""
    return np.random.default_rng(derived_seed(seed, purpose, *indices))


def torch_generator(seed: int, purpose: str, *indices: int, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A generator of torch for one purpose and position, on a device; see :func:`derived_seed`.

    Generators of different kinds of device draw different numbers.
    """
    import torch  # a second and a half, which stages without tensors save

    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, *indices))
