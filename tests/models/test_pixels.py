"""Grey levels and real numbers: exact inverses for all 256 values."""

import torch
from torch.testing import assert_close

from models.pixels import from_signed, from_unit, pixel_statistics, to_signed, to_unit

ALL = torch.arange(256, dtype=torch.uint8)


def test_all_grey_levels_survive_the_signed_range() -> None:
    assert torch.equal(from_signed(to_signed(ALL)), ALL)


def test_all_grey_levels_survive_the_unit_range() -> None:
    assert torch.equal(from_unit(to_unit(ALL)), ALL)


def test_ranges_and_spacing() -> None:
    signed, unit = to_signed(ALL), to_unit(ALL)
    assert signed.dtype == unit.dtype == torch.float32
    assert (signed[0].item(), signed[-1].item()) == (-1.0, 1.0)
    assert (unit[0].item(), unit[-1].item()) == (0.0, 1.0)
    assert_close(signed, 2.0 * unit - 1.0)
    assert_close(signed.diff(), torch.full((255,), 2.0 / 255.0), rtol=0.0, atol=2e-7)


def test_values_between_levels_go_to_the_nearest() -> None:
    wiggle = torch.tensor([-0.4, 0.4]).view(2, 1)
    assert torch.equal(from_signed(to_signed(ALL) + wiggle * 2.0 / 255.0), ALL.expand(2, 256))
    assert torch.equal(from_unit(to_unit(ALL) + wiggle / 255.0), ALL.expand(2, 256))


def test_values_outside_are_clipped() -> None:
    assert from_signed(torch.tensor([-7.0, -1.01, 1.01, 7.0])).tolist() == [0, 0, 255, 255]
    assert from_unit(torch.tensor([-7.0, -0.01, 1.01, 7.0])).tolist() == [0, 0, 255, 255]


def test_shape_is_kept() -> None:
    images = ALL.view(4, 8, 8)
    assert to_signed(images).shape == to_unit(images).shape == from_signed(to_signed(images)).shape == (4, 8, 8)


def test_statistics_are_the_mean_image_and_the_spread_around_it() -> None:
    found = pixel_statistics(torch.tensor([[[0, 100]], [[10, 140]]], dtype=torch.uint8))
    assert_close(found.mean_image, torch.tensor([[5.0, 120.0]], dtype=torch.float64))
    # Deviations of 5, 5, 20 and 20; around the mean of all pixels it would be far more
    assert found.std == ((2 * 25 + 2 * 400) / 4) ** 0.5
