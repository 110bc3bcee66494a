"""Continuous diffusion with the preconditioning and loss of Karras et al. 2022.

The noisy image is x0 + sigma * eps. The network works on inputs, targets and losses of unit size at every sigma.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.diffusion import Diffusion, Draw, SampleStep
from models.guidance import guided
from models.multistep_samplers import dpmpp_2m, dpmpp_3m, ipndm, unipc
from models.noise import ImageNoise
from models.pixels import HALF
from models.sigma_samplers import heun, sigma_grid
from models.spec import EdmSpec, SamplerSpec, SigmaSamplerSpec
from models.starts import ClassMoments
from models.times import sigma_at, sigma_quantile, stratified_uniform

MULTISTEP = {"dpmpp_2m": dpmpp_2m, "dpmpp_3m": dpmpp_3m, "ipndm": ipndm, "unipc": unipc}
"""Samplers of one evaluation a step, by their name in ``params.yaml``."""


@dataclass(frozen=True, slots=True)
class Preconditioning:
    """D(x; sigma) = c_skip * x + c_out * F(c_in * x; c_noise) (Karras et al. 2022, equation 7 and table 1).

    Attributes:
        c_skip: shape (B, 1, 1, 1).
        c_out: shape (B, 1, 1, 1).
        c_in: shape (B, 1, 1, 1).
        c_noise: what the network is told about sigma, ln(sigma) / 4, shape (B,).
    """

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def precondition(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """The four coefficients of Karras et al. 2022, table 1.

    Args:
        sigma: noise level, above 0, shape (B,).
        sigma_data: standard deviation of the clean, encoded pixels.
    """
    s = sigma.view(-1, 1, 1, 1)
    total = s.square() + sigma_data**2
    return Preconditioning(
        c_skip=sigma_data**2 / total,
        c_out=s * sigma_data / total.sqrt(),
        c_in=total.rsqrt(),
        c_noise=sigma.log() / 4.0,
    )


def loss_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """lambda(sigma) = 1 / c_out^2: all levels weigh alike at the start (Karras et al. 2022, table 1), shape (B,)."""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()


class Edm(Diffusion):
    """Noising by x0 + sigma * eps; the network's preconditioned output is the clean image.

    Pixels are centred by the mean image and scaled to a standard deviation of ``sigma_data``; before
    :meth:`fit_pixels` they lie in [-1, 1]. The level is sigma, and the network is told ln(sigma) / 4.

    Args:
        network: see :class:`models.diffusion.Diffusion`.
        spec: sigma_data and the distribution of sigma in training.
    """

    pixel_mean: Tensor
    pixel_scale: Tensor

    def __init__(self, network: nn.Module, spec: EdmSpec) -> None:
        super().__init__(network)
        self.spec = spec
        self.register_buffer("pixel_mean", torch.full((28, 28), HALF))
        self.register_buffer("pixel_scale", torch.tensor(HALF))

    def fit_pixels(self, mean_image: Tensor, std: float) -> None:
        """Centre by the mean image (28, 28) and scale ``std``, both in grey levels, to ``sigma_data``.

        Raises:
            ValueError: ``std`` is not above 0.
        """
        if not std > 0.0:
            raise ValueError(f"cannot scale pixels of standard deviation {std}")
        self.pixel_mean.copy_(mean_image)
        self.pixel_scale.fill_(std / self.spec.sigma_data)

    def encode(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, 28, 28) to centred, scaled pixels (B, 1, 28, 28)."""
        return ((images.to(torch.float32) - self.pixel_mean) / self.pixel_scale).unsqueeze(1)

    def decode(self, x: Tensor) -> Tensor:
        """Map (B, 1, 28, 28) to the nearest uint8 images (B, 28, 28); inverts :meth:`encode` exactly."""
        grey = x.squeeze(1).to(torch.float32) * self.pixel_scale + self.pixel_mean
        return grey.round().clamp(0, 255).to(torch.uint8)

    def draw_levels(self, batch: int, generator: torch.Generator) -> Tensor:
        """Stratified sigma of the described density (Karras et al. 2022, table 1), float32, shape (batch,)."""
        return sigma_quantile(stratified_uniform(batch, generator), self.spec).to(torch.float32)

    def level_value(self, share: float) -> float:
        """Sigma at a share of the noise scale of training; see :func:`models.times.sigma_at`."""
        return sigma_at(share, self.spec)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        """D(x; sigma): the clean images that the network sees in x (Karras et al. 2022, equation 7).

        Args:
            x: noisy images, shape (B, 1, 28, 28).
            sigma: their noise level, shape (B,).
            labels: int64 class per image, shape (B,).
            keep: 1 to show the label, 0 to hide it, shape (B,).
        """
        c = precondition(sigma, self.spec.sigma_data)
        output: Tensor = self.network(c.c_in * x, c.c_noise, labels, keep)
        return c.c_skip * x + c.c_out * output

    def loss(self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw) -> Tensor:
        """lambda(sigma) * mean squared error of the denoised images (Karras et al. 2022, equation 2), shape (B,)."""
        sigma = draw.level.to(x0)
        x = x0 + sigma.view(-1, 1, 1, 1) * draw.eps.to(x0)
        error = (self.denoise(x, sigma, labels, keep) - x0).square().mean(dim=(1, 2, 3))
        return self.weight(sigma) * error

    def weight(self, sigma: Tensor) -> Tensor:
        """What the error of the clean image counts for at noise levels ``sigma``, shape (B,)."""
        data = self.spec.sigma_data
        if self.spec.min_snr_gamma == 0.0:
            return loss_weight(sigma, data)
        return (data / sigma).square().clamp(max=self.spec.min_snr_gamma) / data**2

    def sample(
        self, sampler: SamplerSpec, noise: ImageNoise, labels: Tensor, moments: ClassMoments | None = None
    ) -> Iterator[SampleStep]:
        """Along the ODE over sigma from noise at sigma_max; see :meth:`models.diffusion.Diffusion.sample`."""
        if not isinstance(sampler, SigmaSamplerSpec):
            raise TypeError(f"an EDM cannot be sampled by {sampler.kind}")

        def draw() -> Tensor:
            return noise.draw().to(labels.device)

        sigmas = sigma_grid(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)
        start = sampler.sigma_max * draw()
        denoise = guided(self.denoise, labels, sampler.guidance)
        if sampler.kind == "heun":
            return heun(denoise, sigmas, start, draw, sampler.churn)
        return MULTISTEP[sampler.kind](denoise, sigmas, start)
