"""Random streams are functions of (seed, purpose, position) and of nothing else."""

import torch

from tasks.seeds import derived_seed, image_seed, numpy_generator, torch_generator


def test_streams_repeat_and_differ_by_every_argument() -> None:
    positions = [derived_seed(1, "a", *indices) for indices in [(), (0,), (1,), (0, 0)]]
    assert len({*positions, derived_seed(2, "a"), derived_seed(1, "b")}) == 6
    first = torch.randn(5, generator=torch_generator(1, "a", 3))
    torch.testing.assert_close(first, torch.randn(5, generator=torch_generator(1, "a", 3)), rtol=0, atol=0)
    assert numpy_generator(1, "a").integers(1 << 30) == numpy_generator(1, "a").integers(1 << 30)


def test_seeds_do_not_change_between_releases() -> None:
    # sha256("20260/train/7") begins with these 8 bytes; computed with coreutils' sha256sum
    assert derived_seed(20260, "train", 7) == 0xAAA48DC54A642B03 >> 1


def test_no_two_images_have_the_same_seed() -> None:
    """A million hashes of 32 bits would hold a hundred pairs."""
    for seed in (0, 20260):
        assert len({image_seed(seed, number) for number in range(1_000_000)}) == 1_000_000
    assert image_seed(1, 5) != image_seed(2, 5)


def test_image_seeds_are_counted_modulo_2_to_the_32() -> None:
    first = image_seed(3, 0)
    assert image_seed(3, 2**32 - first) == 0
    assert all(0 <= image_seed(seed, 10**6) < 2**32 for seed in range(1000))


def test_seeds_fit_an_int64() -> None:
    assert all(0 <= derived_seed(0, "x", index) < 2**63 for index in range(1000))
