"""Drawn garments are the same for the same seed, and tell their classes apart."""

import time

import numpy as np
import pytest

from tasks.drawing import LINES, Dice, band, column, curve, ellipse, fabric
from tasks.files import sha256_bytes
from tasks.garments import DRAWERS, draw_garments
from tasks.labels import CLASS_SLUGS, NUM_CLASSES
from tasks.seeds import numpy_generator

# From this code on its first release (numpy 2.4, x86-64): 12 pictures a class, seed 1, purpose "golden".
GOLDEN = "9e0c57a4c2974cfd0bdbe8e65e8fd8f02dde0c1c987afd9b4f06723ef79c91d0"


def test_golden() -> None:
    images, labels = draw_garments(12, numpy_generator(1, "golden"))
    again, _ = draw_garments(12, numpy_generator(1, "golden"))
    assert images.tobytes() == again.tobytes()
    assert sha256_bytes(images.tobytes() + labels.tobytes()) == GOLDEN


def test_other_seeds_draw_other_garments() -> None:
    first, _ = draw_garments(5, numpy_generator(1, "golden"))
    second, _ = draw_garments(5, numpy_generator(2, "golden"))
    assert not {image.tobytes() for image in first} & {image.tobytes() for image in second}


def test_shapes_types_balance_and_order() -> None:
    images, labels = draw_garments(130, numpy_generator(3, "shapes"))  # more than one chunk
    assert images.shape == (1300, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [130] * NUM_CLASSES
    assert (np.diff(labels.astype(int)) != 0).mean() > 0.8  # shuffled: neighbours differ 9 times of 10
    assert len({image.tobytes() for image in images}) == 1300
    assert images.reshape(1300, -1).max(axis=1).min() > 40  # no empty picture
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).mean() > 0.95  # light on black


def test_a_nearest_mean_classifier_tells_the_classes_apart() -> None:
    images, labels = draw_garments(100, numpy_generator(4, "train"))
    means = np.stack([images[labels == label].mean(axis=0) for label in range(NUM_CLASSES)])
    test, truth = draw_garments(60, numpy_generator(4, "test"))
    distance = ((test[:, None].astype(float) - means) ** 2).sum(axis=(2, 3))
    right = distance.argmin(axis=1) == truth
    assert right.mean() > 0.8
    assert min(right[truth == label].mean() for label in range(NUM_CLASSES)) > 0.6


def class_pictures(slug: str) -> np.ndarray:
    return DRAWERS[CLASS_SLUGS.index(slug)](Dice(numpy_generator(5, slug), 60))


@pytest.mark.parametrize("slug", ["sneaker", "ankle-boot"])
def test_shoes_have_the_toe_to_the_left(slug: str) -> None:
    pictures = class_pictures(slug) > 0.05
    heights = pictures.sum(axis=1)  # (N, 28), lit pixels a column
    assert (heights[:, 1:8].mean(axis=1) < heights[:, 18:25].mean(axis=1)).all()


@pytest.mark.parametrize("slug", ["trouser", "dress", "t-shirt", "pullover", "coat"])
def test_clothes_are_symmetric_in_outline(slug: str) -> None:
    pictures = class_pictures(slug).mean(axis=0)
    assert np.abs(pictures - pictures[:, ::-1]).mean() < 0.05 * pictures.max()


def test_trousers_have_a_gap_between_the_legs_and_dresses_none() -> None:
    assert class_pictures("trouser")[:, 25, 13:15].max() < 0.2
    assert class_pictures("dress")[:, 25, 13:15].min() >= 0.1


def test_a_band_covers_its_exact_area() -> None:
    low, high = np.array([3.25, 5.5, 20.0]), np.array([7.75, 5.75, 10.0])  # the third is empty
    covered = band(column(low) + 0 * LINES, column(high) + 0 * LINES, 4.0, 9.5)
    np.testing.assert_allclose(covered.sum(axis=(1, 2)), [4.5 * 5.5, 0.25 * 5.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(covered[0, 5, 2:9], [0, 0.75, 1, 1, 1, 0.75, 0])
    assert covered[0, 9].max() == 0.5
    assert covered[0, 10].max() == 0


def test_curves_pass_through_their_knots() -> None:
    knots = [(2.0, np.array([1.0, 3.0])), (10.0, 5.0), (10.0, 7.0), (20.0, 0.0)]
    for rounded in (False, True):
        at = {float(line): value for line, value in zip(LINES, curve(knots, rounded).T, strict=True)}
        np.testing.assert_allclose(at[0.125], [1.0, 3.0])
        np.testing.assert_allclose(at[10.125], [7.0, 7.0], atol=0.15)
        np.testing.assert_allclose(at[27.875], [0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(curve([(0.0, 0.0), (28.0, 28.0)])[0], LINES)


def test_an_ellipse_has_its_area() -> None:
    area = 2.0 * ellipse(14.0, 10.0, 6.0).sum() / 4
    np.testing.assert_allclose(area, np.pi * 60.0, rtol=2e-3)


def test_fabric_stays_in_range_and_varies() -> None:
    cloth = fabric(Dice(numpy_generator(6, "cloth"), 200))
    assert cloth.shape == (200, 28, 28)
    assert cloth.min() >= 0.12
    assert cloth.max() <= 1.0
    assert cloth.mean(axis=(1, 2)).std() > 0.1


def test_drawing_is_quick() -> None:
    draw_garments(1, numpy_generator(7, "warm"))
    start = time.process_time()
    draw_garments(50, numpy_generator(7, "speed"))
    assert time.process_time() - start < 2.0  # 250 images/s, a tenth of what one core does
