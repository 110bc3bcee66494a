"""A side-by-side run writes its tables, and survives an entry that fails."""

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from benchmarks import record, run
from benchmarks.contenders import ENTRIES
from benchmarks.figure import draw_results
from benchmarks.growth import ImageCost, TrainingCost
from benchmarks.limits import Limits
from benchmarks.outcomes import Failure
from benchmarks.record import RECORD, SOUGHT, Results, last_results, page, summary
from benchmarks.run import require_build, result_of
from benchmarks.samplers import SamplerResult
from benchmarks.tables import markdown_table, time_cell, training_table
from benchmarks.trial import RESULT
from tasks.errors import ConfigError, MissingResourceError
from tasks.files import write_json, write_text
from tasks.side_by_side import side_by_side_table
from tasks.train import run_config
from tasks.weights import write_card
from tests.benchmarks.invented import checks, outcome, quality
from tests.benchmarks.test_contenders import SETUP

OWN = outcome("own", (10.0, 20.0), (20.0, 5.0), settings="900 steps")
SLOW = outcome("peer", (10.0, 90.0), (20.0, 80.0), settings="slow steps")
FAST = outcome("peer", (10.0, 70.0), (20.0, 60.0), settings="fast steps")
RESULTS = Results(
    limits=Limits(seconds=20.0, images=100),
    outcomes=[OWN, SLOW, FAST],
    failures=[Failure("other", "ValueError: no such thing")],
    real=quality(0.5, 0.9),
    precision="float32",
    machine="a machine",
    versions={"peer": "1.2"},
    code="c0de",
    samplers=[SamplerResult("Heun", 5, 41.6, quality(2.0, 0.8))],
    training_costs=[TrainingCost(32, 0.5, 300_000, 64.0, 40.2, 900.4)],
    image_costs=[ImageCost(1000, 3.14, 2.71)],
)


def test_a_table_has_text_on_the_left_and_numbers_on_the_right() -> None:
    assert markdown_table(["", "s"], [["a", "1"], ["b", "22"]]) == "|  | s |\n| --- | ---: |\n| a | 1 |\n| b | 22 |"


@pytest.mark.parametrize(("target", "cell"), [(30.0, "at most 10 s"), (10.0, "14 s"), (4.9, "not within 20 s")])
def test_times_say_what_is_known(target: float, cell: str) -> None:
    assert time_cell(target, checks((10.0, 20.0), (20.0, 5.0))) == cell


def test_the_share_of_a_convolution_is_told_for_each_precision() -> None:
    """500 images/s of 0.4 GFLOP are 200 GFLOP/s, half of 400 and an eighth of 1,600."""
    head, _, row = training_table([OWN]).splitlines()
    assert "| GFLOP/s | of float32 | of bfloat16 |" in head
    assert row == "| own | 1,234,567 | 500 | 400 | 200 | 50% | 12% | 812 |"


def test_the_page_tells_everything_once() -> None:
    text = page(RESULTS)
    first = " ".join(text.split("\n\n")[1].split())
    assert first == (
        "From `make bench`: `own` (900 steps); `peer` (fast steps), trained one after another on the same images in "
        "float32 for at most 20 s each, and judged by the project's critic on 100 images, equally many of every class."
    )
    assert " ".join(text.split("\n\n")[2].split()) == SOUGHT
    assert max(map(len, text.splitlines())) <= 120
    assert "| own | 20 | 2,000 | 100 | 5.00 (2.50 to 10.00) | 0.800 |" in text
    assert "| real test images |  |  |  | 0.50 (0.25 to 1.00) | 0.900 |" in text
    assert "| peer | not within 20 s | not within 20 s | not within 20 s |" in text
    assert "| Heun | 5 | 42 | 2.00 (1.00 to 4.00) | 0.800 |" in text
    assert "| 32 x 0.5 | 300,000 | 64 | 500 | 40 | 900 |" in text
    assert "| 1,000 | 3.1 | 2.7 |" in text
    assert "- peer, slow steps: FID 80.00 (40.00 to 160.00), worse than its better try." in text
    assert "- other failed: ValueError: no such thing" in text
    assert text.endswith("\na machine, peer 1.2, code c0de.\n")


def test_a_page_speaks_of_a_glance_where_there_was_one() -> None:
    assert "no more are drawn" not in page(RESULTS)
    glanced = [replace(OWN, checks=(replace(OWN.checks[0], look=replace(OWN.checks[0].look, judged=50)),)), SLOW]
    assert "Where 500 of them already have an FID above 20, no more are drawn." in " ".join(
        page(replace(RESULTS, outcomes=glanced)).split()
    )


def test_each_part_of_a_run_is_told_as_soon_as_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samplers that fail cost the comparison nothing; a step whose process was killed stands among the failures."""
    killed = Failure("training at 128 x 1", "its process ended with code -9")
    samplers: list[object] = [RESULTS.samplers, MemoryError()]
    monkeypatch.setattr(run, "result_of", lambda entry, _: OWN if entry == ENTRIES[0] else RESULTS.failures[0])
    monkeypatch.setattr(run, "Referee", lambda *_: SimpleNamespace(real=lambda: RESULTS.real))
    monkeypatch.setattr(run, "sampler_results", Mock(side_effect=samplers))
    monkeypatch.setattr(run, "training_costs", lambda _: iter([*RESULTS.training_costs, killed]))
    monkeypatch.setattr(run, "image_costs", lambda _: RESULTS.image_costs)
    first, second, third = run.measured(RESULTS.limits, SETUP)
    assert (first.outcomes, first.samplers, "How cost grows" in page(first)) == ([OWN], [], False)
    assert (second.samplers, "| Heun | 5 |" in page(second)) == (RESULTS.samplers, True)
    assert (third.training_costs, third.failures[-1]) == (RESULTS.training_costs, killed)
    assert "- training at 128 x 1 failed: its process ended with code -9" in page(third)
    again = run.measured(RESULTS.limits, SETUP)
    assert next(again).outcomes == [OWN]
    with pytest.raises(MemoryError):
        next(again)


def test_the_record_can_be_read_back() -> None:
    assert RECORD.validate_json(RECORD.dump_json(RESULTS)) == RESULTS


def test_one_contender_is_measured_again_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    with pytest.raises(MissingResourceError, match=r"results.json: is missing; .*; do run `make bench`"):
        last_results()
    monkeypatch.setattr(run, "circumstances", lambda _: ("float32", "a machine", {"peer": "1.2"}, "c0de"))
    own, course, peer = (
        outcome("flagship", (9.0, 4.0)),
        outcome("course", (9.0, 80.0)),
        outcome("diffusers", (9.0, 50.0)),
    )
    others = [Failure("diffusers", "lost"), Failure("flagship", "old")]
    write_json(
        tmp_path / "results.json",
        RECORD.dump_python(replace(RESULTS, outcomes=[course, peer], failures=others), mode="json"),
    )
    asked: list[str] = []
    monkeypatch.setattr(run, "result_of", lambda entry, _: asked.append(entry.name) or own)
    seen_now = [RESULTS.real]
    monkeypatch.setattr(run, "Referee", lambda *_: SimpleNamespace(real=lambda: seen_now[-1]))
    found = run.measured_again("flagship", RESULTS.limits, SETUP)
    assert asked == ["flagship"]
    assert (found.outcomes, found.failures) == ([own, course, peer], others[:1])
    assert (found.samplers, found.image_costs) == (RESULTS.samplers, RESULTS.image_costs)
    with pytest.raises(ConfigError, match="--again: would add to a run of another kind"):
        run.measured_again("flagship", replace(RESULTS.limits, images=200), SETUP)
    seen_now.append(replace(RESULTS.real, fid=RESULTS.real.accuracy))  # by another critic
    with pytest.raises(ConfigError, match="--again: would add to a run of another kind"):
        run.measured_again("flagship", RESULTS.limits, SETUP)
    seen_now.pop()
    monkeypatch.setattr(run, "circumstances", lambda _: ("float32", "a machine", {"peer": "1.2"}, "another"))
    with pytest.raises(ConfigError, match="--again: would add to a run of another kind"):
        run.measured_again("flagship", RESULTS.limits, SETUP)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(MissingResourceError, match="cannot be read"):
        last_results()


def test_the_report_tells_of_the_better_tries() -> None:
    found = summary(RESULTS)
    assert found["machine"] == "a machine, peer 1.2, code c0de"
    rows = [line.replace("\\", "") for line in side_by_side_table(found).splitlines()]
    assert rows[0] == "| Contender | Training, images/s | To FID 10 | To FID 5 | To FID 3 | FID at the end |"
    assert rows[2] == "| own | 500 | 14 s | 20 s | not within 20 s | 5.00 (2.50 to 10.00) |"
    assert rows[3].startswith("| peer | 500 | not within 20 s | not within 20 s | not within 20 s | 60.0 (30.0 to")
    assert len(rows) == 4


def test_the_figure_is_drawn_also_where_nothing_came_to_anything(tmp_path: Path) -> None:
    for outcomes in ([OWN, FAST], []):
        draw_results(outcomes, quality(0.5), tmp_path)
        assert (tmp_path / "results.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("printed", "code", "wanted"),
    [
        (f"noise\n{RESULT.dump_json(OWN).decode()}\n", 0, OWN),
        ('{"name": "own", "reason": "ValueError: no"}\n', 0, Failure("own", "ValueError: no")),
        ("", -9, Failure(ENTRIES[0].name, "its process ended with code -9")),
        ("half a li", 1, Failure(ENTRIES[0].name, "its process ended with code 1")),
    ],
)
def test_whatever_a_process_leaves_is_a_result(
    printed: str, code: int, wanted: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=printed, returncode=code))
    assert result_of(ENTRIES[0], RESULTS.limits) == wanted


def test_a_folder_without_a_finished_build_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingResourceError, match=r"artifacts/critic: is missing; .*; do run `make report`"):
        require_build(SETUP.params)
    for path in (
        "artifacts/critic/model.json",
        "artifacts/flagship/model.safetensors",
        "data/prepared/train.npz",
        "data/prepared/test.npz",
    ):
        write_text(tmp_path / path, "")
    config = run_config(SETUP.params.variant("flagship"), SETUP.params.compute, SETUP.params.seed)
    write_card("flagship", {"config": config})
    require_build(SETUP.params)
    write_card("flagship", {"config": {**config, "code_sha256": "of an earlier day"}})
    with pytest.raises(MissingResourceError, match=r"another configuration \(code_sha256\); .*; do run"):
        require_build(SETUP.params)
