"""What is read off the checks of a training."""

from dataclasses import replace

import pytest

from benchmarks.outcomes import Check, Look, best_of, seconds_to
from benchmarks.trial import RESULT
from tests.benchmarks.invented import checks, outcome, quality

HALVING = checks((10.0, 32.0), (20.0, 16.0), (40.0, 4.0), (80.0, 8.0), (160.0, 2.0))


@pytest.mark.parametrize(
    ("target", "seconds"),
    [
        (32.0, 10.0),  # there already
        (100.0, 10.0),
        (16.0, 20.0),
        (8.0, 20.0 * 2**0.5),  # half way from 16 to 4 in the logarithm, so half way from 20 to 40
        (4.0, 40.0),
        (3.0, 80.0 * 2**0.7075187496394219),  # log(8/3) / log(8/2); after the time at which it had grown again
    ],
)
def test_seconds_to_a_quality_lie_on_straight_lines_in_both_logarithms(target: float, seconds: float) -> None:
    assert seconds_to(target, HALVING) == pytest.approx(seconds)


def test_a_quality_that_is_never_reached_has_no_time() -> None:
    assert seconds_to(1.9, HALVING) is None


def test_the_best_try_of_a_contender_stands_for_it() -> None:
    slow, fast = outcome("peer", (10.0, 3.0), (20.0, 9.0)), outcome("peer", (10.0, 50.0), (20.0, 8.0))
    own = outcome("own", (20.0, 2.0))
    assert best_of([own, slow, fast]) == [own, fast]
    assert best_of([fast, slow, own]) == [fast, own]
    assert best_of([]) == []


def test_an_outcome_survives_its_way_between_processes() -> None:
    whole = outcome("own", (10.0, 3.0), (20.0, 2.0))
    assert RESULT.validate_json(RESULT.dump_json(whole)) == whole


def test_the_rate_of_drawing_is_that_of_the_sampler_at_the_end() -> None:
    looks = [Look(quality(9.0), 100, *drawn) for drawn in ((20, 40.0), (8, 100.0), (8, 120.0), (8, 500.0))]
    found = replace(outcome("peer"), checks=tuple(Check(1.0, 100, look) for look in looks))
    assert (found.evaluations, found.drawn_per_second) == (8, 120.0)
