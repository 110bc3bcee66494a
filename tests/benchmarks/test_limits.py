"""What the command line of a side-by-side run takes and refuses."""

import pytest

from benchmarks.limits import Limits, command_line
from tasks.errors import ConfigError


def test_each_check_is_twice_as_late_and_the_last_one_at_the_end() -> None:
    assert Limits(seconds=40.0, checks=4).check_times == [5.0, 10.0, 20.0, 40.0]


def test_options_change_the_limits() -> None:
    options = command_line("run").parse_args(["--seconds", "20", "--images=100"])
    limits = Limits(seconds=20.0, images=100, checks=6)
    assert Limits.of(options) == limits
    assert Limits.of(command_line("trial").parse_args(limits.as_options)) == limits


@pytest.mark.parametrize("wrong", [["--seconds=0"], ["--images=105"], ["--images=10"], ["--checks=0"], ["--checks=x"]])
def test_limits_without_sense_are_refused(wrong: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Limits.of(command_line("run").parse_args(wrong))
