"""Ten classes of garments drawn by formula: a stand-in for Fashion-MNIST that needs no download.

Light on black, shoes with the toe to the left and classes in the order of :mod:`tasks.labels`, as in Fashion-MNIST.
Cut, proportions, fabric and brightness of every picture are drawn at random; its silhouette says what it is.
"""

from typing import Any

import numpy as np

from tasks.accessories import ankle_boot, bag, sandal, sneaker
from tasks.clothes import coat, dress, pullover, shirt, t_shirt, trouser
from tasks.drawing import Dice, to_bytes
from tasks.labels import IMAGE_SIZE, NUM_CLASSES

DRAWERS = (t_shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle_boot)
CHUNK = 100
"""Pictures drawn at once: few enough to stay in the processor's cache."""

Uint8Array = np.ndarray[Any, np.dtype[np.uint8]]


def draw_garments(per_class: int, rng: np.random.Generator) -> tuple[Uint8Array, Uint8Array]:
    """Draw equally many garments of every class, in random order.

    Args:
        per_class: number of pictures a class.
        rng: decides everything.

    Returns:
        Images, uint8 of shape (10 * per_class, 28, 28), and labels, uint8 of shape (10 * per_class,).
    """
    images = np.empty((NUM_CLASSES * per_class, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    labels = np.repeat(np.arange(NUM_CLASSES, dtype=np.uint8), per_class)
    for label, draw in enumerate(DRAWERS):
        for done in range(0, per_class, CHUNK):
            count = min(CHUNK, per_class - done)
            first = label * per_class + done
            images[first : first + count] = to_bytes(draw(Dice(rng, count)))
    order = rng.permutation(len(labels))
    return images[order], labels[order]
