"""One entry's run, in a process of its own: ``python -m benchmarks.trial ENTRY`` prints what came of it as JSON."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import torch
from pydantic import TypeAdapter

from benchmarks.child import tell_result
from benchmarks.contenders import ENTRIES, Contender, Entry, Setup, setup_on_cpu
from benchmarks.limits import Limits, command_line
from benchmarks.memory import AddedMemory
from benchmarks.outcomes import Check, Failure, Outcome
from benchmarks.quality import Referee
from benchmarks.speed import Mark, convolution_rate, flops, median_rate
from flows.environment import die_with_parent

RESULT: TypeAdapter[Outcome | Failure] = TypeAdapter(Outcome | Failure)


class TrainingClock:
    """Seconds of training alone, from its making on.

    Args:
        now: a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._start = now, now()

    @property
    def seconds(self) -> float:
        """Passed so far, pauses left out."""
        return self._now() - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still inside the block."""
        begin = self._now()
        yield
        self._start += self._now() - begin


def train(
    contender: Contender, clock: TrainingClock, limits: Limits, look: Callable[[float, int], Check]
) -> tuple[list[Check], list[Mark]]:
    """Train until the time is up or no step is left, with a check at each time that is due and one at the end.

    Args:
        contender: changed in place.
        clock: runs since before the contender was built.
        limits: how long, and when to look.
        look: judges the contender as it stands after so many seconds and images, while the clock stands still.

    Returns:
        The checks, and seconds and images after each step.
    """
    checks: list[Check] = []
    marks: list[Mark] = []
    images, due = 0, limits.check_times
    while due:
        going = contender.step(clock.seconds / limits.seconds)
        if going:
            images += contender.batch
            marks.append((clock.seconds, images))
        if not going or clock.seconds >= due[0]:
            with clock.paused():
                checks.append(look(clock.seconds, images))
            due = [seconds for seconds in due if going and seconds > clock.seconds]
    return checks, marks


def run_trial(entry: Entry, limits: Limits) -> Outcome:
    """Build, train and judge an entry, and count its operations."""
    setup = setup_on_cpu()
    referee, build = Referee(setup.params, limits.images), entry.builder()
    rates_before = _convolutions(setup)
    clock = TrainingClock()
    contender = build(setup)
    memory, peak = AddedMemory(), 0.0

    def look(seconds: float, images: int) -> Check:
        nonlocal peak
        peak = peak or memory.peak_mb  # later ones are of drawing too
        check = Check(seconds, images, referee.drawn(contender))
        sys.stderr.write(f"{entry.name}, {contender.settings}: FID {check.quality.fid.value:.2f} at {seconds:.0f} s\n")
        return check

    checks, marks = train(contender, clock, limits, look)
    return Outcome(
        name=entry.name,
        option=entry.option,
        settings=contender.settings,
        parameters=sum(weights.numel() for weights in contender.network.parameters()),
        fitted_numbers=contender.fitted_numbers,
        checks=tuple(checks),
        images_per_second=median_rate(marks),
        gflop_per_image=flops(lambda: torch.autograd.backward(contender.loss())) / contender.batch / 1e9,
        convolution_gflops={name: max(rate, rates_before[name]) for name, rate in _convolutions(setup).items()},
        step_memory_mb=peak,
        ended=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    )


def _convolutions(setup: Setup) -> dict[str, float]:
    """GFLOP/s of the flagship's convolutions, by precision."""
    network, batch = (flagship := setup.params.variant("flagship")).network, flagship.training.batch
    names = dict.fromkeys(("float32", setup.precision_name))
    return {name: convolution_rate(network, batch, getattr(torch, name)) for name in names}


def main() -> None:
    """Run the entry of a number; whatever goes wrong is a result too."""
    die_with_parent()
    parser = command_line("trial")
    parser.add_argument("entry", type=int)
    options = parser.parse_args()
    entry = ENTRIES[options.entry]
    tell_result(RESULT, entry.name, lambda: run_trial(entry, Limits.of(options)), options.debug)


if __name__ == "__main__":
    main()
