"""What is known of a clean image before any network has looked: a guess, which the network then has only to mend.

The preconditioning of Karras et al. 2022 is one of these. c_skip * x is the expected clean image if all pixels were
independent and normal with standard deviation sigma_data, and c_out is how far off that guess is. A mixture of
Gaussians knows what garments of a class look like, so its guess is far better where the noise is strong. Shapes: B
images (B, 1, 28, 28).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.mixture import GaussianMixture
from models.mixture_fit import fit_mixture
from models.preconditioning import precondition
from models.spec import EdmSpec

LEVELS = 48
SIGMA_RANGE = (1e-3, 1e2)
"""Noise levels at which the error of the mixture's guess is measured, evenly spaced in ln(sigma)."""
MEASURED_IMAGES = 256
"""Four times as many change the error of the default mixture by 1 % at most, and take three seconds more."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A prior's answer to noisy images.

    Attributes:
        x0: the clean images it expects, shape (B, 1, 28, 28).
        error: root mean square of a pixel's error in it where the label is known, shape (B, 1, 1, 1).
        seen: what the network is shown, of about unit variance, shape (B, images_shown, 28, 28).
    """

    x0: Tensor
    error: Tensor
    seen: Tensor


class Prior(nn.Module, ABC):
    """A closed-form denoiser to start from; called as (x, sigma, labels, keep), it gives a :class:`Guess`.

    Args:
        sigma_data: standard deviation of the clean, encoded pixels.
    """

    def __init__(self, sigma_data: float) -> None:
        super().__init__()
        self.sigma_data = sigma_data

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Guess:
        """Guess the clean images.

        Args:
            x: noisy images, shape (B, 1, 28, 28).
            sigma: their noise level, shape (B,).
            labels: int64 class per image, shape (B,).
            keep: 1 to use the label, 0 to ignore it, shape (B,).
        """

    @abstractmethod
    def error(self, sigma: Tensor) -> Tensor:
        """Root mean square of a pixel's error in the guess at noise levels of shape (B,), shape (B,)."""

    @abstractmethod
    def draw(self, sigma: float, labels: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        """Noisy images of their classes, as the prior believes them to be distributed.

        Args:
            sigma: their noise level.
            labels: int64 class per image, shape (B,).
            noise: standard normal, shape (B, 1, 28, 28).
            places: uniform from 0 up to 1, float64 on the CPU, shape (B,), for what is left to choose.

        Returns:
            Shape (B, 1, 28, 28).
        """

    def fit(self, x0: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        """Learn from the encoded training images (N, 1, 28, 28) what there is to learn: nothing, unless it says more.

        Args:
            x0: all encoded training images.
            labels: int64 class per image, shape (N,).
            generator: a CPU generator.
        """

    @property
    def fitted_numbers(self) -> int:
        """How many numbers :meth:`fit` learnt."""
        return 0


class IsotropicPrior(Prior):
    """All pixels independent, normal and of equal variance (Karras et al. 2022, table 1)."""

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Guess:
        """See :meth:`Prior.forward`; the labels say nothing here."""
        c = precondition(sigma, self.sigma_data)
        return Guess(c.c_skip * x, c.c_out, c.c_in * x)

    def error(self, sigma: Tensor) -> Tensor:
        """c_out; see :meth:`Prior.error`."""
        return precondition(sigma, self.sigma_data).c_out.flatten()

    def draw(self, sigma: float, labels: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        """Normal, of variance sigma^2 + sigma_data^2; the labels say nothing here. See :meth:`Prior.draw`."""
        return math.hypot(sigma, self.sigma_data) * noise


class MixturePrior(Prior):
    """A mixture of Gaussians for each class; the network is shown the noisy image and the guess.

    How far off the guess is has no closed form; it is measured on training images, those that the network is asked
    about while it learns. For images that the mixture was not fitted to it is further off. Before :meth:`fit` the
    error is c_out.

    Args:
        spec: sigma_data and the size of the mixture.
    """

    log_errors: Tensor

    def __init__(self, spec: EdmSpec) -> None:
        super().__init__(spec.sigma_data)
        self.mixture = GaussianMixture(spec.components, spec.rank, spec.subspace)
        self.register_buffer("log_errors", precondition(_levels(), spec.sigma_data).c_out.flatten().log())

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Guess:
        """See :meth:`Prior.forward`. No gradient flows through the guess."""
        x0 = self._denoised(x, sigma, labels, keep)
        c_in = precondition(sigma, self.sigma_data).c_in
        seen = torch.cat([c_in * x, x0 / self.sigma_data], dim=1)
        return Guess(x0, self.error(sigma).view(-1, 1, 1, 1), seen)

    def error(self, sigma: Tensor) -> Tensor:
        """Interpolated between the levels at which it was measured, in the logarithms; see :meth:`Prior.error`."""
        first, last = (math.log(limit) for limit in SIGMA_RANGE)
        place = (sigma.log() - first) / (last - first) * (LEVELS - 1)
        below = place.floor().clamp(0, LEVELS - 2).long()
        share = (place - below).clamp(0.0, 1.0)
        return torch.lerp(self.log_errors[below], self.log_errors[below + 1], share.to(self.log_errors.dtype)).exp()

    def draw(self, sigma: float, labels: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        """From the mixture of each class; see :meth:`Prior.draw`."""
        return self.mixture.draw(sigma, labels, noise.flatten(1), places).view_as(noise)

    def fit(self, x0: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        """Fit the mixture, then measure the error of its guess on some of the images, with their labels."""
        fit_mixture(self.mixture, x0.flatten(1), labels, generator)
        chosen = torch.randperm(len(x0), generator=generator)[:MEASURED_IMAGES]
        clean, known, keep = x0[chosen], labels[chosen], torch.ones(len(chosen))
        eps = torch.randn(clean.shape, generator=generator)
        for place, sigma in enumerate(_levels()):
            error = self._denoised(clean + sigma * eps, sigma.expand(len(chosen)), known, keep) - clean
            self.log_errors[place] = error.square().mean().sqrt().log()

    @property
    def fitted_numbers(self) -> int:
        """Those of the mixture and of its measured errors."""
        return sum(tensor.numel() for tensor in self.state_dict().values())

    @torch.no_grad()
    def _denoised(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        return self.mixture.denoise(x.flatten(1), sigma, labels, keep).view_as(x)


def build_prior(spec: EdmSpec) -> Prior:
    """The prior that a process asks for, not yet fitted."""
    return MixturePrior(spec) if spec.prior == "mixture" else IsotropicPrior(spec.sigma_data)


def images_shown(spec: EdmSpec) -> int:
    """How many pictures a network is shown for each noisy image: with a mixture, its guess too."""
    return 2 if spec.prior == "mixture" else 1


def _levels() -> Tensor:
    first, last = (math.log(limit) for limit in SIGMA_RANGE)
    return torch.linspace(first, last, LEVELS).exp()
