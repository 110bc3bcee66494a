"""Real garments on their way to noise, along the noise scale of each variant."""

from math import ceil
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from models.ddpm import Ddpm
from models.edm import Edm
from models.forward import q_sample
from models.pixels import PixelStatistics, pixel_statistics
from models.sampler_spec import SigmaSamplerSpec
from models.sigma_levels import sigma_grid
from models.spec import DdpmSpec, EdmSpec
from tasks.dataset import load_split
from tasks.evidence import Evidence
from tasks.figures.style import Pixels, blank, label_columns, label_rows, montage, save_picture, show
from tasks.labels import CLASS_NAMES
from tasks.seeds import torch_generator
from tasks.variants import Variant

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SHOWN_CLASSES = (0, 1, 3, 7, 8)
CELL = 30
FINE = 101
"""Noise levels of the scale from which those of :data:`SHARES` are taken."""
BLOCKS = 2
"""Noise scales beside each other."""


def distinct_scales(evidence: Evidence) -> list[tuple[str, Variant]]:
    """One variant for each different noise scale, the first, and a label that counts the others that share it."""
    sharing: dict[tuple[object, ...], list[Variant]] = {}
    for variant in evidence.variants:
        sharing.setdefault(_scale(variant.spec), []).append(variant.spec)
    return [(_label(specs), specs[0]) for specs in sharing.values()]


def _scale(spec: Variant) -> tuple[object, ...]:
    """What noise does to the images from 0 to 100 % of a variant's scale, whatever the network makes of it.

    That of a DDPM are its own steps, that of an EDM lies between the ends of its sampler.
    """
    process, sampling = spec.process, spec.sampling
    if isinstance(process, DdpmSpec):
        return process.steps, process.schedule, process.beta_start, process.beta_end, process.zero_terminal
    assert isinstance(sampling, SigmaSamplerSpec)
    return process.sigma_data, sampling.sigma_min, sampling.sigma_max, sampling.rho


def _label(sharing: list[Variant]) -> str:
    first, *others = sharing
    return f"{first.title} and {len(others)} more" if others else first.title


def draw_forward(evidence: Evidence, folder: Path, seed: int) -> None:
    """The same test images and the same noise at 0, 20, ..., 100 % of each noise scale; writes ``forward.png``.

    Args:
        evidence: the build's measurements.
        folder: where the figure goes.
        seed: the user's seed, from which the noise is derived.
    """
    scales = distinct_scales(evidence)
    lines = ceil(len(scales) / BLOCKS)
    figure = blank(2.75 * lines)
    panels = figure.subplots(lines, BLOCKS, squeeze=False).ravel()
    images, training = chosen_garments(), pixel_statistics(load_split("train").images)
    eps = torch.randn((len(images), 1, 28, 28), generator=torch_generator(seed, "figures/forward"))
    for axes in panels:
        axes.set_axis_off()
    for index, (axes, (title, spec)) in enumerate(zip(panels, scales, strict=False)):
        columns = [noised(spec, training, images, eps, share) for share in SHARES]
        _draw(axes, title, columns, labelled=index % BLOCKS == 0)
    save_picture(figure, folder, "forward")


def _draw(axes: Axes, title: str, columns: list[Pixels], labelled: bool) -> None:
    show(axes, montage(np.stack(columns, axis=1)))
    label_columns(axes, [f"{100 * share:.0f} %" for share in SHARES], CELL)
    axes.set_title(title, pad=17)
    if labelled:
        label_rows(axes, [CLASS_NAMES[label] for label in SHOWN_CLASSES], CELL)


def chosen_garments() -> Tensor:
    """The first test image of a few classes, uint8, shape (5, 28, 28)."""
    test = load_split("test")
    return torch.stack([test.images[test.labels == label][0] for label in SHOWN_CLASSES])


def noised(spec: Variant, training: PixelStatistics, images: Tensor, eps: Tensor, share: float) -> Pixels:
    """Images after a share of a variant's forward process, as pixels.

    Args:
        spec: the variant.
        training: the pixels of the training images.
        images: uint8, shape (N, 28, 28).
        eps: standard normal noise, shape (N, 1, 28, 28).
        share: 0 leaves the images as they are, 1 is the noise level at which sampling starts.

    Returns:
        uint8 array of shape (N, 28, 28).
    """
    process, sampling = spec.process, spec.sampling
    if share == 0.0:
        seen = images
    elif isinstance(process, DdpmSpec):
        seen = _discrete(process, images, eps, share)
    else:
        assert isinstance(sampling, SigmaSamplerSpec)
        seen = _continuous(process, training, images, eps, level_at(sampling, share))
    return np.asarray(seen.numpy())


def _discrete(process: DdpmSpec, images: Tensor, eps: Tensor, share: float) -> Tensor:
    diffusion = Ddpm(nn.Identity(), process)
    step = round(share * diffusion.schedule.steps) - 1
    return diffusion.decode(
        q_sample(diffusion.encode(images), torch.full((len(images),), step), eps, diffusion.schedule)
    )


def _continuous(process: EdmSpec, training: PixelStatistics, images: Tensor, eps: Tensor, sigma: float) -> Tensor:
    diffusion = Edm(nn.Identity(), process)
    diffusion.fit_pixels(training.mean_image, training.std)
    # Shrunk to the contrast of clean images, which is what the network sees: at sigma = 40 all else is black or white.
    total = (sigma**2 + process.sigma_data**2) ** 0.5
    return diffusion.decode((diffusion.encode(images) + sigma * eps) * process.sigma_data / total)


def level_at(sampling: SigmaSamplerSpec, share: float) -> float:
    """The noise level at a share of the sampler's scale, from its smallest to its largest sigma."""
    grid = sigma_grid(FINE, sampling.sigma_min, sampling.sigma_max, sampling.rho)
    rising = grid[-2::-1]
    return rising[round(share * (len(rising) - 1))]
