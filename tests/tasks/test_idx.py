"""An IDX archive is read as exactly what it must be, within bounded memory, or refused in one line."""

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tasks.archives import ARCHIVES, IMAGES, LABELS
from tasks.errors import IntegrityError, MissingResourceError
from tasks.idx import encode_idx, read_images, read_labels

OFFICIAL = Path(__file__).parents[3] / "shared/data/fashion-mnist"
COUNT = 3
PIXELS = np.arange(COUNT * 784, dtype=np.uint32).astype(np.uint8).reshape(COUNT, 28, 28)
PLAIN = bytes([0, 0, 8, 3, 0, 0, 0, COUNT, 0, 0, 0, 28, 0, 0, 0, 28]) + PIXELS.tobytes()


def refused(path: Path, content: bytes, count: int | None = COUNT) -> str:
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        read_images(path, count)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert caught.value.exit_code == 3
    return message


def test_what_is_encoded_is_decoded(tmp_path: Path) -> None:
    labels = np.arange(10, dtype=np.uint8)
    (tmp_path / "images.gz").write_bytes(encode_idx(PIXELS))
    (tmp_path / "labels.gz").write_bytes(encode_idx(labels))
    for count in (COUNT, None):
        decoded = read_images(tmp_path / "images.gz", count)
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, PIXELS)
    found = read_labels(tmp_path / "labels.gz", 10)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, labels)


def test_encoding_is_the_format_and_names_no_time() -> None:
    encoded = encode_idx(PIXELS)
    assert gzip.decompress(encoded) == PLAIN
    assert encoded[:4] == b"\x1f\x8b\x08\x00"  # gzip, deflate, no file name
    assert encoded[4:8] == bytes(4)  # the time, RFC 1952 section 2.3
    assert encoded == encode_idx(PIXELS)


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official archives are not on this machine")
def test_pins_are_those_of_the_official_files() -> None:
    from tasks.archives import difference

    assert [difference(OFFICIAL / a.name, a.bytes, a.sha256) for a in ARCHIVES] == [""] * 4
    images, labels = read_images(OFFICIAL / IMAGES["test"], 10_000), read_labels(OFFICIAL / LABELS["test"], 10_000)
    assert np.bincount(labels).tolist() == [1000] * 10
    # The first test image is an ankle boot, with the toe to the left: its left half is empty above the instep.
    assert labels[0] == 9
    assert images[0][:7, :10].max() == 0


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingResourceError):
        read_images(tmp_path / "absent.gz", COUNT)


def test_mutated_headers_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "images.gz"
    for _ in range(1500):
        header = bytearray(PLAIN[:16])
        for position in rng.integers(0, 16, rng.integers(1, 4)):
            header[position] ^= int(rng.integers(1, 256))
        if bytes(header) == PLAIN[:16]:
            continue
        content = gzip.compress(bytes(header) + PLAIN[16:], compresslevel=0)
        refused(path, content, COUNT if rng.random() < 0.5 else None)


def test_mutated_bytes_never_give_other_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    path, whole = tmp_path / "images.gz", encode_idx(PIXELS)
    for _ in range(600):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            decoded = read_images(path, COUNT)
        except IntegrityError:
            continue
        np.testing.assert_array_equal(decoded, PIXELS)  # a flip in the gzip header's time or platform


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = encode_idx(PIXELS)
    for length in range(len(whole)):
        refused(tmp_path / "images.gz", whole[:length])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "begins with nothing"),
        (PLAIN, "not gzip"),
        (gzip.compress(PLAIN[:-1]), "holds 2351 of 2352 bytes"),
        (gzip.compress(PLAIN + b"\0"), "more than it announces"),
        (gzip.compress(PLAIN) + b"\0", "goes on after"),
        (gzip.compress(PLAIN) + gzip.compress(b""), "goes on after"),
        (gzip.compress(PLAIN[:100]) + gzip.compress(PLAIN[100:]), "holds 84 of 2352 bytes"),
        (gzip.compress(PLAIN)[:-8] + bytes(8), "damaged"),
        (encode_idx(PIXELS.reshape(COUNT, 784, 1)), "begins with"),
        (encode_idx(PIXELS[:2]), "begins with"),
    ],
)
def test_each_trick_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    assert says in refused(tmp_path / "images.gz", content)


@pytest.mark.parametrize("announced", [0, 1_000_001, 2**32 - 1])
def test_free_counts_are_bounded(tmp_path: Path, announced: int) -> None:
    header = PLAIN[:4] + announced.to_bytes(4, "big") + PLAIN[8:16]
    assert f"announces {announced} items" in refused(tmp_path / "images.gz", gzip.compress(header), None)


def test_labels_above_nine_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(encode_idx(np.array([0, 9, 10], dtype=np.uint8)))
    with pytest.raises(IntegrityError, match="holds the label 10"):
        read_labels(path, 3)


@pytest.mark.parametrize("count", [COUNT, None])
def test_memory_is_bounded_whatever_a_file_claims(tmp_path: Path, count: int | None) -> None:
    bomb, boast = tmp_path / "bomb.gz", tmp_path / "boast.gz"
    bomb.write_bytes(gzip.compress(PLAIN + bytes(50_000_000), compresslevel=1))
    boast.write_bytes(gzip.compress(PLAIN[:4] + (1_000_000).to_bytes(4, "big") + PLAIN[8:]))
    tracemalloc.start()
    try:
        for path in (bomb, boast):
            with pytest.raises(IntegrityError):
                read_images(path, count)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
