"""Snapshots are published as they were taken, or not at all."""

from pathlib import Path

import pytest

from models.build import build_diffusion
from tasks.errors import IntegrityError
from tasks.files import sha256_file
from tasks.snapshots import UNTRAINED, publish_snapshots, snapshot_name, snapshot_steps, take_snapshot
from tests.tasks.small_variants import COURSE, SEED

RUN = Path("run")
STEPS = (UNTRAINED, *snapshot_steps(COURSE.training))
PUBLISHED = Path("artifacts/course")


@pytest.fixture(autouse=True)
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshots of a finished run, whose weights no step has changed."""
    monkeypatch.chdir(tmp_path)
    model = build_diffusion(COURSE.network, COURSE.process, SEED)
    for step in STEPS:
        take_snapshot(RUN, model, step)


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_the_card_tells_the_sums_of_what_was_taken() -> None:
    sums = [{"step": step, "sha256": sha256_file(RUN / snapshot_name(step))} for step in STEPS]
    assert publish_snapshots("course", RUN, COURSE.training) == sums
    assert {path.name for path in (PUBLISHED / "snapshots").iterdir()} == {Path(snapshot_name(s)).name for s in STEPS}
    assert [sha256_file(PUBLISHED / snapshot_name(step)) for step in STEPS] == [entry["sha256"] for entry in sums]


@pytest.mark.parametrize("step", [STEPS[0], STEPS[-1]])
@pytest.mark.parametrize("position", [0, 999, -1])
def test_a_snapshot_with_a_flipped_bit_is_not_published(step: int, position: int) -> None:
    flip_bit(RUN / snapshot_name(step), position)
    with pytest.raises(IntegrityError, match=rf"^run/{snapshot_name(step)}: was altered; .*; do remove run") as caught:
        publish_snapshots("course", RUN, COURSE.training)
    assert caught.value.exit_code == 3
    assert list(PUBLISHED.iterdir()) == []


def test_snapshots_published_before_stay_as_they_were() -> None:
    publish_snapshots("course", RUN, COURSE.training)
    before = {path: sha256_file(path) for path in PUBLISHED.rglob("*.safetensors")}
    flip_bit(RUN / snapshot_name(STEPS[1]), -1)
    with pytest.raises(IntegrityError):
        publish_snapshots("course", RUN, COURSE.training)
    assert {path: sha256_file(path) for path in PUBLISHED.rglob("*.safetensors")} == before
