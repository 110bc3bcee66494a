"""Files are whole or absent, equal content gives equal bytes, and damage is named."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.errors import IntegrityError, MissingResourceError, TryAgainError
from tasks.files import (
    folder_written_atomically,
    read_arrays,
    read_json,
    read_table,
    sha256_bytes,
    sha256_file,
    sha256_json,
    write_arrays,
    write_atomically,
    write_json,
    write_table,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_half_way(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TryAgainError, match="No space left on device") as caught:
        write_atomically(path, fail_half_way)
    assert caught.value.exit_code == 75
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_folder_keeps_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with folder_written_atomically(folder) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(FileNotFoundError), folder_written_atomically(folder) as temporary:
        (temporary / "absent").read_text()
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_write_of_a_folder_left_goes_with_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    program = "import os, sys; from pathlib import Path; from tasks.files import folder_written_atomically\n"
    program += "with folder_written_atomically(Path(sys.argv[1])) as temporary:\n"
    program += "    (temporary / 'a').write_text('new'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=Path(__file__).parents[2], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".snapshots-")
    neighbours = [tmp_path / ".figures-abc", tmp_path / ".snapshots-of-none.json"]
    neighbours[0].mkdir()
    neighbours[1].touch()
    with folder_written_atomically(folder) as temporary:
        (temporary / "a").write_text("newer")
    assert set(tmp_path.iterdir()) == {folder, *neighbours}


def test_a_folder_is_on_the_disk_with_all_it_holds_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    flush, rename = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (events.append(os.readlink(f"/proc/self/fd/{handle}")), flush(handle))
    )
    monkeypatch.setattr(Path, "replace", lambda source, target: (events.append("renamed"), rename(source, target)))
    with folder_written_atomically(tmp_path / "folder") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a").write_text("new")
    entries = [str(temporary / name) for name in ("", "inner", "inner/a")]
    assert events == [*entries, "renamed", str(tmp_path)]


def test_other_errors_than_the_disks_pass_through_a_write(tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise IntegrityError("source", "is damaged", "a whole one", "fetch it again")

    with pytest.raises(IntegrityError, match="source"):
        write_atomically(tmp_path / "a", refuse)
    with pytest.raises(FileNotFoundError, match="absent"):
        write_atomically(tmp_path / "a", lambda temporary: shutil.copyfile(tmp_path / "absent", temporary))
    assert list(tmp_path.iterdir()) == []


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6).reshape(2, 3), "a": np.zeros(2, dtype=np.uint8)}
    write_arrays(tmp_path / "1.npz", arrays)
    write_arrays(tmp_path / "2.npz", dict(reversed(arrays.items())))
    assert sha256_file(tmp_path / "1.npz") == sha256_file(tmp_path / "2.npz")
    read = read_arrays(tmp_path / "1.npz")
    assert {name: (value.dtype, value.tolist()) for name, value in read.items()} == {
        name: (value.dtype, value.tolist()) for name, value in arrays.items()
    }


def test_pickled_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "x.npz", {"x": np.array([{}], dtype=object)})
    np.savez(tmp_path / "y.npz", x=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(IntegrityError, match=r"y\.npz: is damaged"):
        read_arrays(tmp_path / "y.npz")


def test_every_truncation_of_an_archive_is_noticed(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.npz", {"x": np.arange(20)})
    content = (tmp_path / "x.npz").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "x.npz").write_bytes(content[:length])
        with pytest.raises(IntegrityError):
            read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_json_that_is_no_object_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        read_json(tmp_path / "x.json")
    assert caught.value.exit_code == 3


def test_json_has_sorted_keys_and_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": 0.1})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 0.1,\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert read_json(tmp_path / "x.json") == {"a": 0.1, "b": 1}


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    for read in (read_json, read_arrays, read_table, sha256_file):
        with pytest.raises(MissingResourceError, match="dvc repro") as caught:
            read(tmp_path / "absent")
        assert caught.value.exit_code == 4


def test_tables_round_trip_numbers_exactly(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [0.1, 1e-300, 1 / 3], "b": [1, 2, 3]})
    write_table(tmp_path / "t.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), table, check_exact=True)


def test_hashes_are_sha256_and_ignore_the_order_of_keys() -> None:
    # FIPS 180-2, appendix B.1
    assert sha256_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
