"""Continuous diffusion with the preconditioning and loss of Karras et al. 2022, on any prior.

The noisy image is x0 + sigma * eps. The network works on inputs, targets and losses of about unit size at every sigma;
a mixture's guess for an image whose label is hidden is further off than the error that its target is measured in.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from models.diffusion import Diffusion, Draw, Lesson, SampleStep
from models.distillation import jumped, pseudo_huber
from models.evaluations import levels_asked, levels_visited
from models.guidance import Conditional, guidance_of, guided, guided_in_parts
from models.heun import heun
from models.multistep_samplers import dpmpp_2m, dpmpp_3m, ipndm, unipc
from models.noise import ImageNoise
from models.pixels import HALF
from models.preconditioning import c_noise
from models.predictions import for_each
from models.priors import build_prior
from models.sampler_spec import SamplerSpec, SigmaSamplerSpec
from models.sigma_levels import sampler_grid, sigma_at, within
from models.spec import EdmSpec
from models.starts import ClassMoments
from models.times import sigma_quantile, stratified_uniform

MULTISTEP = {"dpmpp_2m": dpmpp_2m, "dpmpp_3m": dpmpp_3m, "ipndm": ipndm, "unipc": unipc}
"""Samplers of one evaluation a step, by their name in ``params.yaml``."""


class Edm(Diffusion):
    """Noising by x0 + sigma * eps; the network mends what a prior guesses of the clean image.

    Pixels are centred by the mean image and scaled to a standard deviation of ``sigma_data``; before
    :meth:`fit_pixels` they lie in [-1, 1]. The level is sigma, and the network is told ln(sigma) / 4.

    Args:
        network: see :class:`models.diffusion.Diffusion`.
        spec: sigma_data, the prior and the distribution of sigma in training.
    """

    pixel_mean: Tensor
    pixel_scale: Tensor

    def __init__(self, network: nn.Module, spec: EdmSpec) -> None:
        super().__init__(network)
        self.spec = spec
        self.prior = build_prior(spec)
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

    def fit_prior(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        """Fit the prior to the encoded training images."""
        self.prior.fit(self.encode(images), labels, generator)

    @property
    def fitted_numbers(self) -> int:
        """The prior's; see :meth:`models.diffusion.Diffusion.fitted_numbers`."""
        return self.prior.fitted_numbers

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
        """Sigma at a share of the noise scale of training; see :func:`models.sigma_levels.sigma_at`."""
        return sigma_at(share, self.spec)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        """D(x; sigma): the prior's guess, mended by the network in units of its error.

        With the isotropic prior this is equation 7 of Karras et al. 2022.

        Args:
            x: noisy images, shape (B, 1, 28, 28).
            sigma: their noise level, shape (B,).
            labels: int64 class per image, shape (B,).
            keep: 1 to show the label, 0 to hide it, shape (B,).
        """
        guess = self.prior(x, sigma, labels, keep)
        output: Tensor = self.network(guess.seen, c_noise(sigma), labels, keep)
        mended: Tensor = guess.x0 + guess.error * output
        return mended

    def mended_up_to(self, strongest: float) -> Conditional:
        """D where the noise is at most so strong, and the prior's guess alone above, which asks no network.

        Where the noise is strong the network has next to nothing to mend.
        """

        def answer(x: Tensor, sigma: float, labels: Tensor, keep: Tensor) -> Tensor:
            told = for_each(sigma, x)
            if within(sigma, (0.0, strongest)):
                return self.denoise(x, told, labels, keep)
            guess: Tensor = self.prior(x, told, labels, keep).x0
            return guess

        return answer

    def loss(self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw) -> Tensor:
        """Weighted mean squared error of the denoised images (Karras et al. 2022, equation 2), shape (B,)."""
        sigma = draw.level.to(x0)
        x = _noised(x0, sigma, draw.eps.to(x0))
        error = (self.denoise(x, sigma, labels, keep) - x0).square().mean(dim=(1, 2, 3))
        return self.weight(sigma) * error

    def lesson(self, sampler: SamplerSpec, seeds: Tensor, labels: Tensor) -> Lesson:
        """What this model answers where the sampler asks it, and in place of its jump where all steps lead.

        At one of these levels for each image, which its seed decides too; see :meth:`Diffusion.lesson`.
        """
        sampler = _over_sigma(sampler)
        look = guided_in_parts(self.mended_up_to(sampler.mended_below), labels, guidance_of(sampler, None))
        seen: list[tuple[Tensor, Tensor, Tensor]] = []

        def noted(x: Tensor, sigma: float) -> tuple[Tensor, Tensor | None]:
            x0, nudge = look(x, sigma)
            seen.append((x, for_each(sigma, x), x0))
            return x0, nudge

        start = self._start(sampler, ImageNoise(seeds.tolist()), labels)
        *_, last = MULTISTEP[sampler.kind](noted, sampler_grid(sampler), start)
        taken, asked = len(levels_visited(sampler)), len(levels_asked(sampler))
        *kept, (x, sigma, _) = seen[taken - asked : taken]
        shown = [torch.stack(parts) for parts in zip(*kept, (x, sigma, last.x), strict=True)]
        images = torch.arange(len(labels), device=labels.device)
        return Lesson(*(part[seeds.to(labels.device) % asked, images] for part in shown))

    def distillation_loss(self, lesson: Lesson, labels: Tensor) -> Tensor:
        """Pseudo-Huber distance, in units of the prior's error; see :meth:`Diffusion.distillation_loss`."""
        answer = self.denoise(lesson.x, lesson.sigma, labels, torch.ones_like(lesson.sigma))
        squared = (answer - lesson.answer).square().mean(dim=(1, 2, 3)) / self.prior.error(lesson.sigma).square()
        return pseudo_huber(squared)

    def weight(self, sigma: Tensor) -> Tensor:
        """What the error of the clean image counts for at noise levels ``sigma``, shape (B,).

        The inverse of the prior's own squared error, so that all levels weigh alike at the start (Karras et al. 2022,
        table 1, for the isotropic prior). Or min(SNR, gamma) in units of 1 / sigma_data^2, the SNR being
        (sigma_data / sigma)^2: below the cap that is 1 / sigma^2, which weighs the error of the noise alike.
        """
        if self.spec.min_snr_gamma == 0.0:
            return self.prior.error(sigma).square().reciprocal()
        data = self.spec.sigma_data
        return (data / sigma).square().clamp(max=self.spec.min_snr_gamma) / data**2

    def sample(
        self,
        sampler: SamplerSpec,
        noise: ImageNoise,
        labels: Tensor,
        moments: ClassMoments | None = None,
        guide: Diffusion | None = None,
    ) -> Iterator[SampleStep]:
        """Along the ODE over sigma from sigma_max down to 0; see :meth:`models.diffusion.Diffusion.sample`.

        The start is noise alone, as if the images were nothing beside it, or drawn from the prior, which knows how they
        are distributed where the noise is strong: then sigma_max may be far smaller, and fewer steps lead from it to 0.
        """
        sampler = _over_sigma(sampler)
        if guide is not None and not isinstance(guide, Edm):
            raise TypeError("an EDM cannot be guided by a model of another process")
        guidance = guidance_of(sampler, None if guide is None else guide.mended_up_to(sampler.mended_below))
        predict, sigmas = self.mended_up_to(sampler.mended_below), sampler_grid(sampler)
        start = self._start(sampler, noise, labels)
        if sampler.kind in MULTISTEP:
            states = MULTISTEP[sampler.kind](guided_in_parts(predict, labels, guidance), sigmas, start)
            return jumped(states, sampler.moves - 1) if sampler.jumps else states
        fresh = partial(_drawn, noise, labels.device)
        return heun(guided(predict, labels, guidance), sigmas, start, fresh, sampler.churn)

    def _start(self, sampler: SigmaSamplerSpec, noise: ImageNoise, labels: Tensor) -> Tensor:
        eps, sigma = _drawn(noise, labels.device), sampler.sigma_max
        return self.prior.draw(sigma, labels, eps, noise.uniform()) if sampler.start == "prior" else sigma * eps


def _drawn(noise: ImageNoise, device: torch.device) -> Tensor:
    return noise.draw().to(device, non_blocking=True)


def _over_sigma(sampler: SamplerSpec) -> SigmaSamplerSpec:
    if not isinstance(sampler, SigmaSamplerSpec):
        raise TypeError(f"an EDM cannot be sampled by {sampler.kind}")
    return sampler


def _noised(x0: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
    return x0 + sigma.view(-1, 1, 1, 1) * eps
