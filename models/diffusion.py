"""What every diffusion process offers to training, sampling and evaluation.

Shapes: B images in a batch, 28 x 28 grey pixels. Two scales of noise, one interface: a *level* is the step t of a
DDPM (0 to T - 1) or the sigma of an EDM (above 0), always a float32 number per image.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.noise import ImageNoise
from models.sampler_spec import SamplerSpec
from models.starts import ClassMoments


@dataclass(frozen=True, slots=True)
class Draw:
    """The random part of one training example per image.

    Attributes:
        level: noise level, float32, shape (B,).
        eps: standard normal noise, float32, shape (B, 1, 28, 28).
    """

    level: Tensor
    eps: Tensor


@dataclass(frozen=True, slots=True)
class SampleStep:
    """A state on the way from noise to picture.

    Attributes:
        index: reverse steps done so far; 0 is the start.
        total: reverse steps in all; at ``index == total`` the picture is finished.
        level: noise level of ``x``: sigma, or t with -1 for a finished picture, since t = 0 is noised once.
        x: the images, shape (B, 1, 28, 28).
        x0: the clean images that the model sees at ``level``: in ``x``, or, with UniPC, in what ``x`` was before it was
            corrected by that look; ``x`` itself when finished.
    """

    index: int
    total: int
    level: float
    x: Tensor
    x0: Tensor


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a teacher shows.

    Attributes:
        x: noisy images on a sampler's way, shape (B, 1, 28, 28).
        sigma: their noise levels, shape (B,).
        answer: what a student is to answer there: as its teacher does, or, where it is to jump, with the picture to
            which the sampler leads, shape (B, 1, 28, 28).
    """

    x: Tensor
    sigma: Tensor
    answer: Tensor


class Diffusion(nn.Module, ABC):
    """A network together with the process that it reverses.

    The network is called ``network(x, level, labels, keep)`` with x (B, 1, 28, 28), the process's own encoding of the
    level (B,), int64 labels (B,) and keep (B,) in {0, 1}, where 0 hides the label; it returns (B, 1, 28, 28). What
    the process learnt beside the weights is kept in buffers, so ``state_dict`` is complete; the rest follows from its
    description.

    Args:
        network: the network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abstractmethod
    def fit_pixels(self, mean_image: Tensor, std: float) -> None:
        """Store the statistics that scale the pixels.

        Args:
            mean_image: mean of the training images in grey levels, float64 in [0, 255], shape (28, 28).
            std: standard deviation of the pixels around ``mean_image``, in grey levels, above 0.
        """

    def fit_prior(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        """Learn in closed form what a process wants to know of the training images: nothing, unless it says more.

        Args:
            images: all training images, uint8, shape (N, 28, 28).
            labels: int64 class per image, shape (N,).
            generator: a CPU generator.
        """

    @property
    def fitted_numbers(self) -> int:
        """How many numbers :meth:`fit_prior` learnt: a model's size beside the parameters of its network."""
        return 0

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, 28, 28) to what the process noises, float32 (B, 1, 28, 28)."""

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Map (B, 1, 28, 28) to the nearest uint8 images (B, 28, 28); inverts :meth:`encode` exactly."""

    @abstractmethod
    def draw_levels(self, batch: int, generator: torch.Generator) -> Tensor:
        """Random noise levels for training, float32, shape (batch,), on the generator's device."""

    @abstractmethod
    def level_value(self, share: float) -> float:
        """The noise level at a share of the noise scale: 0 is the weakest noise, 1 the strongest."""

    @abstractmethod
    def loss(self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw) -> Tensor:
        """How badly the network undoes the noise.

        Args:
            x0: encoded clean images, shape (B, 1, 28, 28).
            labels: int64 class per image, shape (B,).
            keep: 1 to show the label to the network, 0 to hide it, float, shape (B,).
            draw: noise levels and noise.

        Returns:
            Loss per image, mean over its pixels, shape (B,).
        """

    def lesson(self, sampler: SamplerSpec, seeds: Tensor, labels: Tensor) -> Lesson:
        """What this model has to teach a student that is to jump; see :mod:`models.distillation`.

        Args:
            sampler: the student's, which says of how many steps its jump is made.
            seeds: of each image, int64 in [0, 2^32), shape (B,); all randomness comes from here.
            labels: int64 class per image, shape (B,), on the device of the network.

        Raises:
            TypeError: the process or its sampler is discrete.
        """
        raise TypeError(f"{type(self).__name__} cannot teach to jump")

    def distillation_loss(self, lesson: Lesson, labels: Tensor) -> Tensor:
        """How far this model's answers are from those that it is taught.

        Args:
            lesson: of its teacher.
            labels: int64 class per image, shape (B,).

        Returns:
            Loss per image, shape (B,).

        Raises:
            TypeError: see :meth:`lesson`.
        """
        raise TypeError(f"{type(self).__name__} cannot be taught to jump")

    @abstractmethod
    def sample(
        self,
        sampler: SamplerSpec,
        noise: ImageNoise,
        labels: Tensor,
        moments: ClassMoments | None = None,
        guide: "Diffusion | None" = None,
    ) -> Iterator[SampleStep]:
        """Turn noise into images, without gradients, in the network's current mode.

        Args:
            sampler: which sampler, how many steps, how much guidance.
            noise: one stream per image; all randomness comes from here.
            labels: int64 class per image, shape (B,), on the device of the network.
            moments: of the encoded training images, on the same device; for a sampler that starts from them.
            guide: an early state of this model, on the same device; for a sampler that is guided by one.

        Returns:
            The states in order: the start first, the finished images (``index == total``) last.

        Raises:
            TypeError: the sampler belongs to another process.
            ValueError: the sampler asks for more steps than the process has, or for moments or a guide that are not
                given.
        """

    def draw(self, batch: int, generator: torch.Generator) -> Draw:
        """Noise and noise levels for a training batch.

        Args:
            batch: number of images.
            generator: of the device where the draw is needed.
        """
        eps = draw_noise(batch, generator)
        return Draw(self.draw_levels(batch, generator), eps)

    def probe(self, batch: int, share: float, generator: torch.Generator) -> Draw:
        """Noise at one level for all images, to validate by noise level.

        Args:
            batch: number of images.
            share: place on the noise scale, from 0 (weakest) to 1 (strongest).
            generator: a CPU generator.
        """
        level = torch.full((batch,), self.level_value(share))
        return Draw(level, draw_noise(batch, generator))


def draw_noise(batch: int, generator: torch.Generator) -> Tensor:
    """Standard normal noise for images, shape (batch, 1, 28, 28), on the generator's device."""
    return torch.randn(batch, 1, 28, 28, generator=generator, device=generator.device)
