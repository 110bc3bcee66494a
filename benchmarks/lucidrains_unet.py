"""The U-Net of denoising-diffusion-pytorch, with classes and trained as its ``Trainer`` does.

Its width is 32 at 28 pixels, 64 at 14 and 128 at 7, where its own default is made for larger pictures and a GPU. What
its trainer has no say in is chosen in favour of speed (fused Adam, and on two cores channels last and bfloat16: 84
images/s, where either alone has 62 or 63) and of few steps: its average of the
weights, with its own defaults, would span most of them, so it takes in every step and grows longer as that of the other
peer does. Labels are never hidden from it and images are drawn without guidance, which its own sampler cannot do: so
they are drawn by the DPM-Solver++ of diffusers, as with that peer, and clipped on the way, as its own sampler does.
"""

import torch
from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from ema_pytorch import EMA
from torch import Tensor

from benchmarks.contenders import Setup
from benchmarks.noise_predictor import TIMES, NoisePredictor
from benchmarks.weights import seeded_weights
from tasks.labels import IMAGE_SIZE, NUM_CLASSES
from tasks.seeds import derived_seed

WIDTH = 32
WIDER = (1, 2, 4)
"""Times the width, at each size."""


class LucidrainsUNet(NoisePredictor):
    """Unet and GaussianDiffusion in training.

    Args:
        setup: see there.
        lr: learning rate, which stays.
    """

    def __init__(self, setup: Setup, lr: float) -> None:
        self._diffusion = new_diffusion(derived_seed(setup.params.seed, "weights"))
        self._diffusion.to(setup.device, memory_format=torch.channels_last)
        betas = self._diffusion.betas.cpu().numpy()
        solver = DPMSolverMultistepScheduler(num_train_timesteps=TIMES, trained_betas=betas, thresholding=True)
        super().__init__(setup, self._diffusion.model, solver, f"Adam at {lr:g}")
        self._optimizer = torch.optim.Adam(self.weights, lr, betas=(0.9, 0.99), fused=True)
        self._ema = EMA(self.network, beta=0.995, update_every=1, update_after_step=0, power=0.75)

    def error(self, x0: Tensor, eps: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`NoisePredictor.error`."""
        loss: Tensor = self._diffusion.p_losses(x0, times, classes=labels, noise=eps)
        return loss

    def update(self, share: float) -> None:
        """See :meth:`NoisePredictor.update`."""
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._ema.update()

    def predict(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`NoisePredictor.predict`."""
        eps: Tensor = self._ema(x, times, labels)
        return eps


def new_diffusion(seed: int) -> GaussianDiffusion:
    """The untrained network in its process, with the cosine schedule and predicting the noise, as by default."""
    with seeded_weights(seed):
        unet = Unet(dim=WIDTH, dim_mults=WIDER, num_classes=NUM_CLASSES, cond_drop_prob=0.0, channels=1)
    return GaussianDiffusion(unet, image_size=IMAGE_SIZE, timesteps=TIMES)


def build(setup: Setup, lr: float) -> LucidrainsUNet:
    """Build the network for a learning rate."""
    return LucidrainsUNet(setup, lr)
