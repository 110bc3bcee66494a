"""The changes of the flagship that are tried one at a time; a new one is a line in :data:`ARMS`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from models.diffusion import Draw
from models.training import Batch
from tasks.variants import Variant

FROM_NOISE = {"start": "noise", "steps": 10, "sigma_min": 0.01, "sigma_max": 40.0}
Arrange = Callable[[Iterator[Batch]], Iterator[Batch]]


def paired_within_class(batches: Iterator[Batch]) -> Iterator[Batch]:
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


@dataclass(frozen=True, slots=True)
class Arm:
    """A change of the flagship.

    Attributes:
        name: in the table.
        changes: new values by group of the variant and setting; empty for the flagship as it is.
        arrange: what becomes of the batches, where these change.
    """

    name: str
    changes: dict[str, dict[str, Any]]
    arrange: Arrange | None = None

    def of(self, spec: Variant) -> Variant:
        """The variant with the changes."""
        parts = {group: replace(getattr(spec, group), **values) for group, values in self.changes.items()}
        return replace(spec, **parts)


ARMS = (
    Arm("as it is", {}),
    Arm("sampled from noise, 10 evaluations", {"sampling": FROM_NOISE}),
    Arm(
        "no mixture, sampled likewise",
        {"process": {"prior": "isotropic", "components": 0, "rank": 0, "subspace": 0}, "sampling": FROM_NOISE},
    ),
    Arm("Adam in place of Muon", {"training": {"optimizer": "adam", "muon_lr": 0.0, "lr": 0.002}}),
    Arm("average of 0.98", {"training": {"ema_decay": 0.98}}),
    Arm("average of 0.99", {"training": {"ema_decay": 0.99}}),
    Arm("average of 0.998", {"training": {"ema_decay": 0.998}}),
    Arm("noise paired within a class", {}, paired_within_class),
    Arm("cosine density", {"process": {"density": "cosine", "log_sigma_mean": 0.0, "log_sigma_std": 0.0}}),
    Arm("log sigma of deviation 1.2", {"process": {"log_sigma_std": 1.2}}),
    Arm("min-SNR weighting, gamma 5", {"process": {"min_snr_gamma": 5.0}}),
    Arm("constant learning rates", {"training": {"decay": "constant"}}),
    Arm("batches of 64, half the steps", {"training": {"batch": 64, "steps": 1000}}),
    Arm("no hidden labels", {"training": {"label_drop": 0.0}}),
    Arm("dropout of 0.05", {"network": {"dropout": 0.05}}),
    Arm("40 and 112 channels", {"network": {"channels": (40, 112)}}),
    Arm("3 blocks a level", {"network": {"blocks": 3}}),
    Arm("half as many steps again", {"training": {"steps": 3000}}),
)
