"""What the start of sampling needs to know of the training images, measured where images are drawn."""

import torch

from models.diffusion import Diffusion
from models.sampler_spec import DiscreteSamplerSpec, SamplerSpec
from models.starts import ClassMoments, class_moments
from tasks.dataset import load_split


def fitted_start(diffusion: Diffusion, sampler: SamplerSpec, device: torch.device) -> ClassMoments | None:
    """The moments of each class's training images; None for a sampler that starts from noise.

    Args:
        diffusion: encodes the images.
        sampler: how the images will be drawn.
        device: where they will be drawn.

    Raises:
        MissingResourceError: the moments are needed and the data has not been prepared.
        IntegrityError: the prepared data is damaged.
    """
    if not (isinstance(sampler, DiscreteSamplerSpec) and sampler.start == "moments"):
        return None
    split = load_split("train")
    return class_moments(diffusion.encode(split.images), split.labels).to(device)
