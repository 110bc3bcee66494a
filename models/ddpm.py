"""The course's diffusion and its mended forms: discrete steps, variance preserved (Ho et al. 2020).

The functions of the course live with the mathematics they belong to and are offered here together: :func:`q_sample` and
:func:`predict_x0` (forward process), :func:`remove_noise` and :func:`generate_samples` (reverse process).
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from models.diffusion import Diffusion, Draw, SampleStep
from models.discrete_samplers import ddim_step, generate_samples, looking, remove_noise
from models.forward import at_step, predict_x0, q_sample
from models.guidance import guidance_of, guided
from models.noise import ImageNoise
from models.pixels import from_signed, to_signed
from models.predictions import for_each
from models.sampler_spec import DiscreteSamplerSpec, SamplerSpec
from models.schedule import build_schedule
from models.spec import DdpmSpec
from models.starts import ClassMoments
from models.targets import min_snr_weight, target_of
from models.times import stratified_uniform

__all__ = ["Ddpm", "generate_samples", "predict_x0", "q_sample", "remove_noise"]


class Ddpm(Diffusion):
    """Variance-preserving noising over T steps; the loss is the error of what the network predicts.

    Pixels lie in [-1, 1]; the level is t, and the network is told t itself.

    Args:
        network: see :class:`models.diffusion.Diffusion`.
        spec: schedule, target and weighting.

    Attributes:
        schedule: the noise schedule.
    """

    def __init__(self, network: nn.Module, spec: DdpmSpec) -> None:
        super().__init__(network)
        self.spec = spec
        self.schedule = build_schedule(spec)

    def fit_pixels(self, mean_image: Tensor, std: float) -> None:
        """Nothing: [-1, 1] is the same for all data."""

    def encode(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, 28, 28) to [-1, 1], shape (B, 1, 28, 28)."""
        return to_signed(images).unsqueeze(1)

    def decode(self, x: Tensor) -> Tensor:
        """Map (B, 1, 28, 28) to the nearest uint8 images (B, 28, 28); inverts :meth:`encode` exactly."""
        return from_signed(x).squeeze(1)

    def draw_levels(self, batch: int, generator: torch.Generator) -> Tensor:
        """Steps t, each as likely (Ho et al. 2020, algorithm 1), float32, shape (batch,)."""
        steps = self.schedule.steps
        if self.spec.times == "stratified":
            return (stratified_uniform(batch, generator) * steps).floor().clamp(max=steps - 1).to(torch.float32)
        return torch.randint(steps, (batch,), generator=generator, device=generator.device).to(torch.float32)

    def level_value(self, share: float) -> float:
        """The step nearest to a share of the way from t = 0 to t = T - 1."""
        return float(round(share * (self.schedule.steps - 1)))

    def loss(self, x0: Tensor, labels: Tensor, keep: Tensor, draw: Draw) -> Tensor:
        """Weighted mean squared error of the prediction (Ho et al. 2020, equation 14, for the noise), shape (B,)."""
        eps, t = draw.eps.to(x0), draw.level.long()
        xt = q_sample(x0, t, eps, self.schedule)
        answer: Tensor = self.network(xt, draw.level.to(x0), labels, keep)
        error = (answer - target_of(self.spec.target, x0, t, eps, self.schedule)).square().mean(dim=(1, 2, 3))
        if self.spec.min_snr_gamma == 0.0:
            return error
        snr = at_step(self.schedule.snr, t, x0).flatten()
        return min_snr_weight(self.spec.target, snr, self.spec.min_snr_gamma) * error

    def answer(self, xt: Tensor, t: float, labels: Tensor, keep: Tensor) -> Tensor:
        """What the network makes of images that are all at one step; see :data:`models.guidance.Conditional`."""
        answer: Tensor = self.network(xt, for_each(t, xt), labels, keep)
        return answer

    def sample(
        self,
        sampler: SamplerSpec,
        noise: ImageNoise,
        labels: Tensor,
        moments: ClassMoments | None = None,
        guide: Diffusion | None = None,
    ) -> Iterator[SampleStep]:
        """Ancestral or DDIM sampling; see :meth:`models.diffusion.Diffusion.sample`."""
        if not isinstance(sampler, DiscreteSamplerSpec):
            raise TypeError(f"a DDPM cannot be sampled by {sampler.kind}")

        def draw() -> Tensor:
            return noise.draw().to(labels.device, non_blocking=True)

        schedule = self.schedule.respaced(sampler.steps)
        if guide is not None and not isinstance(guide, Ddpm):
            raise TypeError("a DDPM cannot be guided by a model of another process")
        guidance = guidance_of(sampler, None if guide is None else guide.answer)
        look = looking(guided(self.answer, labels, guidance), self.spec.target, schedule)
        step = remove_noise if sampler.kind == "ddpm" else partial(ddim_step, eta=sampler.eta)
        start = draw()
        if sampler.start == "moments":
            if moments is None:
                raise ValueError("cannot start from moments that are not given")
            last = torch.full((len(labels),), schedule.steps - 1)
            start = q_sample(moments.draw(labels, draw()), last, start, schedule)
        return generate_samples(look, schedule, start, draw, step)
