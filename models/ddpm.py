"""The course's diffusion: discrete steps, a network that predicts the noise (Ho et al. 2020).

Its four functions live with the mathematics they belong to and are offered here together: :func:`q_sample` and
:func:`predict_x0` (forward process), :func:`remove_noise` and :func:`generate_samples` (reverse process).
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from models.diffusion import Diffusion, Draw, SampleStep
from models.discrete_samplers import ddim_step, generate_samples, remove_noise
from models.forward import predict_x0, q_sample
from models.guidance import guided
from models.noise import ImageNoise
from models.pixels import from_signed, to_signed
from models.schedule import linear_schedule
from models.spec import DdpmSpec, DiscreteSamplerSpec, SamplerSpec

__all__ = ["Ddpm", "generate_samples", "predict_x0", "q_sample", "remove_noise"]


class Ddpm(Diffusion):
    """Variance-preserving noising over T steps with linear betas; the loss is the error of the predicted noise.

    Pixels lie in [-1, 1]; the level is t, and the network is told t itself.

    Args:
        network: see :class:`models.diffusion.Diffusion`.
        spec: number of steps and betas.

    Attributes:
        schedule: the noise schedule.
    """

    def __init__(self, network: nn.Module, spec: DdpmSpec) -> None:
        super().__init__(network)
        self.schedule = linear_schedule(spec.steps, spec.beta_start, spec.beta_end)

    def fit_pixels(self, mean_image: Tensor, std: float) -> None:
        """Nothing: [-1, 1] is the same for all data."""

    def encode(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, 28, 28) to [-1, 1], shape (B, 1, 28, 28)."""
        return to_signed(images).unsqueeze(1)

    def decode(self, x: Tensor) -> Tensor:
        """Map (B, 1, 28, 28) to the nearest uint8 images (B, 28, 28); inverts :meth:`encode` exactly."""
        return from_signed(x).squeeze(1)

    def draw_levels(self, batch: int, generator: torch.Generator) -> Tensor:
        """Steps t, uniform over the steps (Ho et al. 2020, algorithm 1), float32, shape (batch,)."""
        return torch.randint(self.schedule.steps, (batch,), generator=generator).to(torch.float32)

    def level_value(self, share: float) -> float:
        """The step nearest to a share of the way from t = 0 to t = T - 1."""
        return float(round(share * (self.schedule.steps - 1)))

    def loss(self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw) -> Tensor:
        """Mean squared error of the predicted noise (Ho et al. 2020, equation 14), shape (B,)."""
        eps = draw.eps.to(x0)
        xt = q_sample(x0, draw.level.long(), eps, self.schedule)
        error: Tensor = self.network(xt, draw.level.to(x0), labels, keep) - eps
        return error.square().mean(dim=(1, 2, 3))

    def sample(self, sampler: SamplerSpec, noise: ImageNoise, labels: Tensor) -> Iterator[SampleStep]:
        """Ancestral or DDIM sampling from standard normal noise; see :meth:`models.diffusion.Diffusion.sample`."""
        if not isinstance(sampler, DiscreteSamplerSpec):
            raise TypeError(f"a DDPM cannot be sampled by {sampler.kind}")

        def draw() -> Tensor:
            return noise.draw().to(labels.device)

        schedule = self.schedule.respaced(sampler.steps)
        predict_eps = guided(self.network, labels, sampler.guidance)
        step = remove_noise if sampler.kind == "ddpm" else partial(ddim_step, eta=sampler.eta)
        return generate_samples(predict_eps, schedule, draw(), draw, step)
