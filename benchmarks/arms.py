"""The changes of the flagship that are tried one at a time; a new one is a line in :data:`ARMS`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from models.diffusion import Draw
from models.training import Batch
from tasks.variants import Variant

FROM_NOISE = {
    "kind": "dpmpp_2m",
    "start": "noise",
    "steps": 10,
    "sigma_min": 0.01,
    "sigma_max": 40.0,
    "mended_below": 1000.0,
}
COSINE = {"density": "cosine", "log_sigma_mean": 0.0, "log_sigma_std": 0.0}
"""Noise levels from 0.005 to 50, which reach the start of those that are sampled from noise."""
ADAM = {"optimizer": "adam", "muon_lr": 0.0}
BLOCKS_OF_PIXELS = {"patch": 2, "channels": (32, 96), "blocks": (2, 2)}
"""A training step of about the time of 16 and 64 channels on single pixels."""
ClassImages = Callable[[int], Tensor]
"""A class -> its encoded training images, (N, 784)."""
Arrange = Callable[[Iterator[Batch], ClassImages], Iterator[Batch]]
Rewire = Callable[[nn.Module], None]


def paired_within_class(batches: Iterator[Batch], _: ClassImages) -> Iterator[Batch]:
    """Hand out each batch's noise anew, so that images of a class lie as near to theirs as can be (Li et al. 2024).

    Within a class alone, since noise and class would else depend on each other.
    """
    for batch in batches:
        images, noise = batch.x0.flatten(1).double().cpu(), batch.draw.eps.flatten(1).double().cpu()
        labels, order = batch.labels.cpu().numpy(), np.arange(len(images))
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            _, chosen = linear_sum_assignment(torch.cdist(images[members], noise[members]).square().numpy())
            order[members] = members[chosen]
        eps = batch.draw.eps[torch.from_numpy(order).to(batch.draw.eps.device)]
        yield replace(batch, draw=Draw(batch.draw.level, eps))


def averaged_targets(batches: Iterator[Batch], images_of: ClassImages) -> Iterator[Batch]:
    """Replace clean images by the mean of all that might be behind what is seen of them (Bertrand et al. 2025).

    That is E[x0 | x, class] over the training images, the average of what the loss draws the network to, in place of
    one draw of it: the noisy images stay as they are. Images without a label, whose mean is over all classes, keep
    their own targets.
    """
    for batch in batches:
        x0, eps = batch.x0.flatten(1).clone(), batch.draw.eps.flatten(1).clone()
        sigma = batch.draw.level.to(x0).unsqueeze(1)
        for label in set(batch.labels.tolist()):
            rows = ((batch.labels == label) & (batch.keep > 0.0)).nonzero().flatten()
            x = x0[rows] + sigma[rows] * eps[rows]
            x0[rows] = expected_image(x, sigma[rows], images_of(label))
            eps[rows] = (x - x0[rows]) / sigma[rows]
        yield replace(batch, x0=x0.view_as(batch.x0), draw=Draw(batch.draw.level, eps.view_as(batch.draw.eps)))


def expected_image(x: Tensor, sigma: Tensor, images: Tensor) -> Tensor:
    """The mean of equally likely images, given one of them under noise.

    Args:
        x: an image and noise of deviation ``sigma``, shape (B, D).
        sigma: shape (B, 1).
        images: shape (N, D).
    """
    closeness = (x @ images.mT - 0.5 * images.square().sum(dim=1)) / sigma**2
    return closeness.softmax(dim=1) @ images


def told_at(*stages: int) -> Rewire:
    """Tell noise level and class to the blocks of some stages alone: 0 and 3 are at 28x28, 1 and 2 at 14x14."""

    def silence_others(_: nn.Module, __: Any, spoken: list[Sequence[Tensor]]) -> list[Sequence[Tensor]]:
        told = (stage if place in stages else [*map(torch.zeros_like, stage)] for place, stage in enumerate(spoken))
        return list(told)

    def rewire(network: nn.Module) -> None:
        network.get_submodule("modulation").register_forward_hook(silence_others)

    return rewire


@dataclass(frozen=True, slots=True)
class Arm:
    """A change of the flagship.

    Attributes:
        name: in the table.
        changes: new values by group of the variant and setting; empty for the flagship as it is.
        arrange: what becomes of the batches, where these change.
        rewire: changes the network, where no setting does.
        beside: the arm that it is compared with, which differs from it in one part: network, process, training,
            sampling or batches.
    """

    name: str
    changes: dict[str, dict[str, Any]]
    arrange: Arrange | None = None
    rewire: Rewire | None = None
    beside: str = "as it is"

    def of(self, spec: Variant) -> Variant:
        """The variant with the changes."""
        parts = {group: replace(getattr(spec, group), **values) for group, values in self.changes.items()}
        return replace(spec, **parts)


ARMS = (
    Arm("as it is", {}),
    Arm("DPM-Solver++(2M) in place of UniPC", {"sampling": {"kind": "dpmpp_2m"}}),
    Arm("sampled from noise by DPM-Solver++(2M), 10 evaluations", {"sampling": FROM_NOISE}),
    Arm(
        "cosine density, sampled likewise",
        {"process": COSINE, "sampling": FROM_NOISE},
        beside="sampled from noise by DPM-Solver++(2M), 10 evaluations",
    ),
    Arm(
        "no mixture, both likewise",
        {
            "process": {"prior": "isotropic", "components": 0, "rank": 0, "subspace": 0, **COSINE},
            "sampling": FROM_NOISE,
        },
        beside="cosine density, sampled likewise",
    ),
    Arm("Adam in place of Muon, learning rate 0.002", {"training": {**ADAM, "lr": 0.002}}),
    Arm("Adam in place of Muon, learning rate 0.005", {"training": ADAM}),
    Arm("Muon at half of its learning rate", {"training": {"muon_lr": 0.01}}),
    Arm("no average of the weights", {"training": {"ema_lag": 0.0}}),
    Arm("average with a lag of 0.05", {"training": {"ema_lag": 0.05}}),
    Arm("average with a lag of 0.2", {"training": {"ema_lag": 0.2}}),
    Arm("noise paired within a class", {}, paired_within_class),
    Arm("targets averaged within a class", {}, averaged_targets),
    Arm("cosine density", {"process": COSINE}),
    Arm("log sigma of deviation 1.2", {"process": {"log_sigma_std": 1.2}}),
    Arm("min-SNR weighting, gamma 5", {"process": {"min_snr_gamma": 5.0}}),
    Arm("constant learning rates", {"training": {"decay": "constant"}}),
    Arm("batches of 32, twice the steps", {"training": {"batch": 32, "steps": 4800}}),
    Arm("no hidden labels", {"training": {"label_drop": 0.0}}),
    Arm("dropout of 0.05", {"network": {"dropout": 0.05}}),
    Arm("attention at 14x14, 4 heads", {"network": {"heads": 4}}),
    Arm("noise level and class at 14x14 alone", {}, rewire=told_at(1, 2)),
    Arm("noise level and class at 28x28 alone", {}, rewire=told_at(0, 3)),
    Arm("blocks of 2x2 pixels, 32 and 96 channels, 2 blocks each", {"network": BLOCKS_OF_PIXELS}),
    Arm("16 and 64 channels", {"network": {"channels": (16, 64)}}),
    Arm("32 and 80 channels", {"network": {"channels": (32, 80)}}),
    Arm("2 blocks at 28x28", {"network": {"blocks": (2, 2)}}),
    Arm("3 blocks at 14x14", {"network": {"blocks": (1, 3)}}),
    Arm("half as many steps again", {"training": {"steps": 3600}}),
)
