"""The U-Net of diffusers, trained as its example of unconditional training does, but told the class.

What the example has no say in is chosen in favour of speed (fused AdamW, averaging all weights at once). Its cosine
decay runs over the time allowed instead of a number of epochs, its warm-up over the first twentieth of it, and images
are not flipped, since shoes face one way. It predicts the noise, as by default; that it can predict the image instead
makes no difference here (FID 110, 100, 87, 56 after 38, 75, 150, 300 s, where the noise has 102, 105, 86, 52). A group
of the normalisation has 4 channels or more: the network's own 32 groups are meant for hundreds of channels, and would
hide from it how bright each of a few is.
"""

import copy
import math

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from benchmarks.contenders import Setup
from models.noise import ImageNoise
from models.pixels import from_signed, to_signed
from tasks.batches import BatchOrder
from tasks.dataset import load_split
from tasks.labels import IMAGE_SIZE, NUM_CLASSES
from tasks.sample import Array
from tasks.seeds import derived_seed, torch_generator

CHANNELS = (32, 64, 128)
GROUPS = 8
BATCH = 64
TIMES = 1000
SAMPLING_STEPS = 20
WARM_UP = 0.05
"""Share of the time over which the learning rate rises."""


class DiffusersUNet:
    """UNet2DModel in training.

    Args:
        setup: see there.
        lr: peak learning rate.
    """

    def __init__(self, setup: Setup, lr: float) -> None:
        split, seed = load_split("train"), setup.params.seed
        self._images, self._labels = split.images.to(setup.device), split.labels.to(setup.device)
        self._order = BatchOrder(len(split), BATCH, seed, setup.device)
        self.network = new_unet(derived_seed(seed, "weights")).to(setup.device)
        self._averaged = copy.deepcopy(self.network).eval()
        self._weights = list(self.network.parameters())
        self._noising = DDPMScheduler(num_train_timesteps=TIMES)
        self._optimizer = torch.optim.AdamW(
            self._weights, lr, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8, fused=True
        )
        self._ema = EMAModel(self._weights, decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75, foreach=True)
        self._setup, self._lr, self._done = setup, lr, 0
        self.batch, self.evaluations = min(BATCH, len(split)), SAMPLING_STEPS
        self.settings = f"steps of {self.batch}, AdamW at {lr:g}, DPM-Solver++(2M)"

    def step(self, share: float) -> bool:
        """See :class:`benchmarks.contenders.Contender`."""
        loss = self.loss()
        if not math.isfinite(loss.item()):
            raise ArithmeticError(f"step {self._done + 1}: loss is {loss.item()}")
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimizer.param_groups[0]["lr"] = self._lr * lr_factor(share)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._ema.step(self._weights)
        self._done += 1
        return True

    def loss(self) -> Tensor:
        """See :class:`benchmarks.contenders.Contender`."""
        seed, device = self._setup.params.seed, self._setup.device
        chosen = self._order.indices(self._done)
        generator = torch_generator(seed, "train", self._done)
        x0 = to_signed(self._images[chosen])[:, None]
        eps = torch.randn(x0.shape, generator=generator).to(device)
        times = torch.randint(0, TIMES, (len(x0),), generator=generator).to(device)
        with self._setup.precision:
            seen = self.network(self._noising.add_noise(x0, eps, times), times, class_labels=self._labels[chosen])
        return F.mse_loss(seen.sample.float(), eps)

    @torch.no_grad()
    def draw(self, labels: Array, seeds: Array) -> Tensor:
        """See :class:`benchmarks.contenders.Contender`; drawn from the averaged weights."""
        device = self._setup.device
        self._ema.copy_to(self._averaged.parameters())
        solver = DPMSolverMultistepScheduler(num_train_timesteps=TIMES)
        solver.set_timesteps(SAMPLING_STEPS)
        classes, x = torch.from_numpy(labels).to(device), ImageNoise(seeds.tolist()).draw().to(device)
        for time in solver.timesteps:
            with self._setup.precision:
                seen = self._averaged(x, time, class_labels=classes)
            x = solver.step(seen.sample.float(), time, x).prev_sample
        return from_signed(x).squeeze(1).cpu()


def new_unet(seed: int) -> nn.Module:
    """The untrained network at 28, 14 and 7 pixels, with attention in the middle, where it has some by default."""
    sides = len(CHANNELS)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        unet: nn.Module = UNet2DModel(
            sample_size=IMAGE_SIZE,
            in_channels=1,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=CHANNELS,
            down_block_types=("DownBlock2D",) * sides,
            up_block_types=("UpBlock2D",) * sides,
            num_class_embeds=NUM_CLASSES,
            norm_num_groups=GROUPS,
        )
    return unet


def lr_factor(share: float) -> float:
    """Share of the peak learning rate: a linear rise, then a cosine to 0 at the end.

    Args:
        share: of the time for training that is gone, 0 to 1.
    """
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (share - WARM_UP) / (1.0 - WARM_UP))))


def build(setup: Setup, lr: float) -> DiffusersUNet:
    """Build the network for a peak learning rate."""
    return DiffusersUNet(setup, lr)
