"""Are images new, or copies of training images? Measured as on real test images, which are new by definition."""

from typing import Any

from torch import Tensor

from models.intervals import share_of
from models.memorisation import closeness
from tasks.dataset import load_split


def memorisation_block(images: Tensor, confidence: float) -> dict[str, Any]:
    """How near images come to the training split, pixel by pixel.

    Args:
        images: uint8, shape (N, 28, 28).
        confidence: of the interval.

    Returns:
        ``copies``, the share of images that :class:`models.memorisation.Closeness` calls copies, with its interval;
        ``identical``, the number that equal a training image in every pixel; ``distance``, the median root mean square
        difference to the nearest training image, in grey levels.

    Raises:
        MissingResourceError: the data has not been prepared.
    """
    near = closeness(images, load_split("train").images)
    return {
        "copies": share_of(near.copies, confidence).to_json(),
        "identical": int((near.first == 0).sum()),
        "distance": near.first.median().item(),
    }
