"""A side-by-side run writes its tables, and survives an entry that fails."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from pydantic import TypeAdapter

from benchmarks import record, run
from benchmarks.circumstances import Circumstances
from benchmarks.contenders import ENTRIES, PEERS, Entry
from benchmarks.growth import ImageCost, TrainingCost
from benchmarks.limits import Limits
from benchmarks.noise_predictor import BATCH
from benchmarks.outcomes import Failure, Outcome, best_of
from benchmarks.record import BETWEEN, FOLDER, MARKS, SOUGHT, Results, page, publish, readme, summary
from benchmarks.run import kept_trials, require_build, result_of
from benchmarks.samplers import SamplerResult
from benchmarks.tables import left_out, markdown_table, time_cell, time_table, training_table
from benchmarks.trial import RESULT
from flows.stage import single_builder
from tasks.errors import MissingResourceError, TryAgainError
from tasks.files import as_json, read_json, write_json, write_text
from tasks.judge import CARD
from tasks.report_tables import side_by_side_table
from tasks.side_by_side import ROW, SUMMARY, TOLD
from tasks.train import run_config
from tasks.weights import write_card
from tests.benchmarks.invented import checks, outcome, quality
from tests.benchmarks.test_contenders import SETUP
from tests.tasks.small_critic import ROOT

OWN = outcome("own", (10.0, 20.0), (20.0, 5.0), settings="900 steps")
SLOW = outcome("peer", (10.0, 90.0), (20.0, 80.0), settings="slow steps", option=0.1)
FAST = outcome("peer", (10.0, 70.0), (20.0, 60.0), settings="fast steps", option=0.2)
HERE = Circumstances("a machine", "float32", {"peer": "1.2"}, "c0de", "c1a0", 0.95, {})
RESULTS = Results(
    limits=Limits(seconds=20.0, images=100),
    circumstances=HERE,
    outcomes=[OWN, SLOW, FAST],
    failures=[Failure("other", "ValueError: no such thing")],
    real=quality(0.5, 0.9),
    samplers=[SamplerResult("Heun", 5, 41.6, quality(2.0, 0.8))],
    training_costs=[TrainingCost(32, 0.5, 300_000, 64.0, 40.2, 900.4)],
    image_costs=[ImageCost(1000, 3.14, 2.71)],
)


def test_the_committed_results_are_of_these_entries_and_told_as_they_are_now() -> None:
    """The report quotes them: of another protocol, or in other words, they would mislead it."""
    found = TypeAdapter(Results).validate_json((FOLDER / "results.json").read_bytes())
    assert (FOLDER / "RESULTS.md").read_text() == page(found)
    assert read_json(ROOT / SUMMARY) == as_json(summary(found))
    told = (ROOT / "README.md").read_text()
    assert time_table(best_of(found.outcomes)) in told
    assert readme(told, found) == told
    assert [(it.name, it.option) for it in found.outcomes] == [(entry.name, entry.option) for entry in ENTRIES]
    for tried in (it for it in found.outcomes if it.name in PEERS):
        assert tried.settings.startswith(f"steps of {BATCH}, ")
        assert f" at {tried.option:g}, " in tried.settings


def test_a_table_has_text_on_the_left_and_numbers_on_the_right() -> None:
    assert markdown_table(["", "s"], [["a", "1"], ["b", "22"]]) == "|  | s |\n| --- | ---: |\n| a | 1 |\n| b | 22 |"


@pytest.mark.parametrize(("target", "cell"), [(30.0, "at most 10 s"), (10.0, "14 s"), (4.9, "over 20 s")])
def test_times_say_what_is_known(target: float, cell: str) -> None:
    assert time_cell(target, checks((10.0, 20.0), (20.0, 5.0))) == cell


def test_the_share_of_a_convolution_is_told_for_each_precision() -> None:
    """500 images/s of 0.4 GFLOP are 200 GFLOP/s, half of 400 and an eighth of 1,600."""
    head, _, row = training_table([OWN]).splitlines()
    assert "| GFLOP/s | of float32 | of bfloat16 |" in head
    assert row == "| own | 1,234,567 | 500 | 400 | 200 | 50% | 12% | 812 |"


@pytest.mark.parametrize(
    ("rates", "best", "told"),
    [
        ((0.1, 0.2, 0.3), 0.2, None),
        ((0.1, 0.2, 0.3), 0.3, "highest"),
        ((0.1, 0.2, 0.3), 0.1, "lowest"),
        ((0.1,), 0.1, None),
    ],
)
def test_a_best_try_that_no_others_enclose_is_said_to_be_one(
    rates: tuple[float, ...], best: float, told: str | None
) -> None:
    tried = [outcome("peer", (10.0, 60.0 if rate == best else 80.0), option=rate) for rate in rates]
    lines = left_out([OWN, *tried], best_of([OWN, *tried]), [])
    edge = f"- peer was best at the {told} rate tried: its best may lie beyond."
    assert [line for line in lines if "best at" in line] == ([edge] if told else [])


def test_the_page_tells_everything_once() -> None:
    text = page(RESULTS)
    first = " ".join(text.split("\n\n")[1].split())
    assert first == (
        "From `make bench`: `own` (900 steps); `peer` (fast steps), trained one after another on the same images in "
        "float32 for at most 20 s each, the project's own for no more than their steps, and judged by the project's "
        "critic on 100 images, equally many of every class."
    )
    assert " ".join(text.split("\n\n")[2].split()) == SOUGHT
    flowing = " ".join(text.split())
    assert f"## Time to a quality {BETWEEN} |" in flowing
    assert max(map(len, text.splitlines())) <= 120
    assert "| own | 20 | 2,000 | 100 | 5.00 (2.50 to 10.00) | 0.800 |" in text
    assert "| real test images |  |  |  | 0.50 (0.25 to 1.00) | 0.900 |" in text
    assert "| peer | over 20 s | over 20 s | over 20 s |" in text
    assert "| Heun | 5 | 42 | 2.00 (1.00 to 4.00) | 0.800 |" in text
    assert "| 32 x 0.5 | 300,000 | 64 | 500 | 40 | 900 |" in text
    assert "| 1,000 | 3.1 | 2.7 |" in text
    assert "- peer, slow steps: FID 80.00 (40.00 to 160.00), worse than its best try." in text
    assert "- peer was best at the highest rate tried: its best may lie beyond.\n- other failed: ValueError" in text
    assert "same threads. They reached 400 to 400 GFLOP/s in float32 and 1600 to 1600 GFLOP/s in bfloat16" in flowing
    ended = "Trainings ended between 2026-11-29 10:00 and 2026-11-29 10:00 (UTC)."
    assert text.endswith(f"\na machine, peer 1.2, code c0de. {ended}\n")


@pytest.mark.parametrize(
    ("steps", "line"), [(20, None), (21, "- own was stopped by the time, after 2,000 of 2,100 images.")]
)
def test_a_model_whose_time_was_over_first_is_said_to_be_one(steps: int, line: str | None) -> None:
    here = replace(HERE, variants={"own": {"training": {"steps": steps, "batch": 100}}})
    told = [part for part in page(replace(RESULTS, circumstances=here)).splitlines() if "stopped by" in part]
    assert told == ([line] if line else [])


def test_a_page_speaks_of_a_glance_where_there_was_one() -> None:
    assert "no more are drawn" not in page(RESULTS)
    glanced = [replace(OWN, checks=(replace(OWN.checks[0], look=replace(OWN.checks[0].look, judged=50)),)), SLOW]
    assert "Where 500 of them already have an FID above 12.5, no more are drawn; of so few" in " ".join(
        page(replace(RESULTS, outcomes=glanced)).split()
    )


@pytest.fixture
def invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A run in an empty folder whose measurements take no time; the first entry comes to something."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Circumstances, "of", lambda _: HERE)
    monkeypatch.setattr(run, "result_of", lambda entry, _: OWN if entry == ENTRIES[0] else RESULTS.failures[0])
    monkeypatch.setattr(run, "Referee", lambda *_: SimpleNamespace(real=lambda: RESULTS.real))
    monkeypatch.setattr(run, "sampler_results", lambda *_: RESULTS.samplers)
    monkeypatch.setattr(run, "training_costs", lambda _: iter(RESULTS.training_costs))
    monkeypatch.setattr(run, "image_costs", lambda _: RESULTS.image_costs)
    return monkeypatch


def test_each_part_of_a_run_is_told_as_soon_as_it_is_known(invented: pytest.MonkeyPatch) -> None:
    """Samplers that fail cost the comparison nothing; a step whose process was killed stands among the failures."""
    killed = Failure("training at 128 x 1", "its process ended with code -9")
    invented.setattr(run, "training_costs", lambda _: iter([*RESULTS.training_costs, killed]))
    invented.setattr(run, "sampler_results", Mock(side_effect=[RESULTS.samplers, MemoryError()]))
    first, second, third = run.measured(RESULTS.limits, SETUP)
    assert (first.outcomes, first.samplers, "How cost grows" in page(first)) == ([OWN], [], False)
    assert (second.samplers, "| Heun | 5 |" in page(second)) == (RESULTS.samplers, True)
    assert (third.training_costs, third.failures[-1]) == (RESULTS.training_costs, killed)
    assert "- training at 128 x 1 failed: its process ended with code -9" in page(third)
    again = run.measured(RESULTS.limits, SETUP)
    assert next(again).outcomes == [OWN]
    with pytest.raises(MemoryError):
        next(again)


def test_a_run_goes_on_with_the_entries_that_are_left(
    invented: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What failed is tried again, what came to something is not, and a run without failures leaves nothing behind."""
    asked: list[Entry] = []

    def result_of_entry(fails: bool) -> Callable[[Entry, Limits], Outcome | Failure]:
        def result(entry: Entry, _: Limits) -> Outcome | Failure:
            asked.append(entry)
            return Failure(entry.name, "lost") if fails and entry == ENTRIES[-1] else OWN

        return result

    invented.setattr(run, "result_of", result_of_entry(fails=True))
    *_, first = run.measured(RESULTS.limits, SETUP)
    assert ([*first.failures], len(asked)) == ([Failure(ENTRIES[-1].name, "lost")], len(ENTRIES))
    invented.setattr(run, "result_of", result_of_entry(fails=False))
    *_, second = run.measured(RESULTS.limits, SETUP)
    assert asked[len(ENTRIES) :] == [ENTRIES[-1]]
    assert (second.outcomes, second.failures) == ([OWN] * len(ENTRIES), [])
    assert "own, 900 steps: kept, trained until 2026-11-29 10:00\n" in capsys.readouterr().err
    list(run.measured(RESULTS.limits, SETUP))
    assert asked[len(ENTRIES) + 1 :] == list(ENTRIES)


def test_what_was_measured_in_other_circumstances_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    limits = RESULTS.limits
    kept_trials(limits, HERE).keep("1", OWN)
    assert kept_trials(limits, HERE).result("1") == OWN
    assert kept_trials(limits, HERE).result("0") is None
    assert kept_trials(limits, replace(HERE, code="beef")).result("1") is None
    assert kept_trials(replace(limits, images=200), HERE).result("1") is None
    (damaged,) = tmp_path.rglob("1.json")
    damaged.write_text("{")
    assert kept_trials(limits, HERE).result("1") is None


def test_what_changes_while_contenders_are_trained_stops_the_run(invented: pytest.MonkeyPatch) -> None:
    """The training in which it changed is not kept, since nobody knows what it saw."""
    now = [HERE]
    invented.setattr(Circumstances, "of", lambda _: now[-1])

    def result(entry: Entry, _: Limits) -> Outcome:
        if entry == ENTRIES[1]:
            now.append(replace(HERE, critic="d1ff"))
        return OWN

    invented.setattr(run, "result_of", result)
    with pytest.raises(TryAgainError, match=r"critic changed while contenders were measured; .*; do run `make bench`"):
        next(run.measured(RESULTS.limits, SETUP))
    kept = [kept_trials(RESULTS.limits, HERE).result(part) for part in ("0", "1")]
    assert kept == [OWN, None]


@pytest.mark.parametrize(("part", "told"), [("sampler_results", 1), ("training_costs", 2), ("image_costs", 2)])
def test_what_changes_while_the_flagship_is_measured_stops_the_run(
    part: str, told: int, invented: pytest.MonkeyPatch
) -> None:
    now = [HERE]
    invented.setattr(Circumstances, "of", lambda _: now[-1])
    invented.setattr(run, "result_of", lambda *_: OWN)
    invented.setattr(run, part, lambda *_: now.append(replace(HERE, code="beef")) or [])
    results = run.measured(RESULTS.limits, SETUP)
    for _ in range(told):
        next(results)
    with pytest.raises(TryAgainError, match="changed while"):
        next(results)


def test_no_build_runs_beside_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run"])
    monkeypatch.setattr(run, "prepare_environment", lambda: None)
    monkeypatch.setattr("flows.stage.LOCK_SECONDS", 0.0)
    with single_builder(None), pytest.raises(TryAgainError, match="is held by another process"):
        run.main()


def test_the_report_tells_of_the_better_tries() -> None:
    found = summary(RESULTS)
    assert found.keys() == TOLD
    assert all(row.keys() == ROW for row in found["rows"])
    assert found["machine"] == "a machine, peer 1.2, code c0de"
    rows = [line.replace("\\", "") for line in side_by_side_table(found).splitlines()]
    assert rows[0] == "| Contender | Training, images/s | To FID 10 | To FID 5 | To FID 3 | FID at the end |"
    assert rows[2] == "| own | 500 | 14 s | 20 s | over 20 s | 5.00 (2.50 to 10.00) |"
    assert rows[3].startswith("| peer | 500 | over 20 s | over 20 s | over 20 s | 60.0 (30.0 to")
    assert rows[4].startswith("| real test images |")
    assert len(rows) == 5


def test_page_picture_and_records_are_written_also_where_nothing_came_to_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    publish(RESULTS)
    assert not Path("README.md").exists()
    begin, end = MARKS
    Path("README.md").write_text(f"before\n{begin}of another run\n{end}after\n")
    for outcomes in ([OWN, FAST], []):
        publish(replace(RESULTS, outcomes=outcomes))
        assert (tmp_path / "results.png").stat().st_size > 10_000
        assert len(read_json(SUMMARY)["rows"]) == len(outcomes)
        assert (tmp_path / "RESULTS.md").read_text() == page(replace(RESULTS, outcomes=outcomes))
        told = f"before\n{begin}\n{time_table(outcomes)}\n\n{end}after\n"
        assert Path("README.md").read_text() == told
    assert "They reached" not in page(replace(RESULTS, outcomes=[]))


@pytest.mark.parametrize("text", ["no marks\n", f"{MARKS[0]}one mark\n", f"{MARKS[1]}the wrong mark\n"])
def test_a_readme_without_a_place_for_the_table_stays(text: str) -> None:
    assert readme(text, RESULTS) == text


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
    with pytest.raises(
        MissingResourceError, match=r"artifacts/critic/model.json: is missing; .*; do run `make report`"
    ):
        require_build(SETUP.params)
    for path in ("artifacts/flagship/model.safetensors", "data/prepared/train.npz", "data/prepared/test.npz"):
        write_text(tmp_path / path, "")
    config = run_config(SETUP.params.variant("flagship"), SETUP.params.compute, SETUP.params.seed)
    write_card("flagship", {"config": config})
    critic = {"seed": SETUP.params.seed, "data_sha256": config["data_sha256"], "config": asdict(SETUP.params.critic)}
    write_json(CARD, critic)
    require_build(SETUP.params)
    write_json(CARD, {**critic, "config": {**critic["config"], "steps": 1}})
    with pytest.raises(MissingResourceError, match=r"critic.*another configuration \(steps\); .*; do run"):
        require_build(SETUP.params)
    write_json(CARD, critic)
    write_card("flagship", {"config": {**config, "code_sha256": "of an earlier day"}})
    with pytest.raises(MissingResourceError, match=r"another configuration \(code_sha256\); .*; do run"):
        require_build(SETUP.params)
