"""A checkpoint is whole, ours, and unaltered, or it is not used."""

from pathlib import Path

import pytest
import torch

from tasks.checkpoint import KEPT, Checkpoint, differing_keys, newest_checkpoint, save_checkpoint
from tasks.errors import ConfigError, IntegrityError

CONFIG = {"training": {"lr": 0.1, "steps": 10}, "seed": 1}


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"w": torch.full((4,), float(step))}, {"window": [0.1 + step]})


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position // 8 % len(content)] ^= 1 << (position % 8)
    path.write_bytes(bytes(content))


def test_the_newest_is_read_back_exactly(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, checkpoint(step), CONFIG)
    read = newest_checkpoint(tmp_path, CONFIG)
    assert read is not None
    assert (read.step, read.notes) == (3, {"window": [3.1]})
    torch.testing.assert_close(read.tensors, checkpoint(3).tensors, rtol=0, atol=0)
    assert len(list(tmp_path.glob("*.safetensors"))) == len(list(tmp_path.glob("*.json"))) == KEPT


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path, CONFIG) is None


def test_every_flipped_bit_and_truncation_is_noticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1), CONFIG)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(len(whole))]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(IntegrityError):
            newest_checkpoint(tmp_path, CONFIG)
    for position in range(0, len(whole) * 8, 5):
        path.write_bytes(whole)
        flip_bit(path, position)
        with pytest.raises(IntegrityError):
            newest_checkpoint(tmp_path, CONFIG)


def test_a_damaged_newest_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_checkpoint(tmp_path, checkpoint(1), CONFIG)
    flip_bit(save_checkpoint(tmp_path, checkpoint(2), CONFIG), 999)
    read = newest_checkpoint(tmp_path, CONFIG)
    assert read is not None
    assert read.step == 1
    assert "is damaged" in caplog.text


def test_tensors_whose_header_was_never_written_do_not_count(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), CONFIG)
    save_checkpoint(tmp_path, checkpoint(2), CONFIG).with_suffix(".json").unlink()
    read = newest_checkpoint(tmp_path, CONFIG)
    assert read is not None
    assert read.step == 1
    save_checkpoint(tmp_path, checkpoint(3), CONFIG)
    assert not (tmp_path / "step-0000002.safetensors").exists()


def test_another_configuration_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), CONFIG)
    other = {"training": {"lr": 0.2, "steps": 10}, "seed": 1}
    with pytest.raises(ConfigError, match=r"\(training\.lr\)") as caught:
        newest_checkpoint(tmp_path, other)
    assert caught.value.exit_code == 2


def test_differing_keys_are_dotted_and_complete() -> None:
    assert differing_keys({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 0}}) == ["a.c", "d"]
    assert differing_keys(CONFIG, CONFIG) == []
