"""What the flagship's settings are worth: ``python -m benchmarks.ablations``, in a finished build.

Each arm of :mod:`benchmarks.arms` is trained as often as all others. The n-th training of every arm has the same first
weights, batches and noise, as far as what is changed has them in common, so arms are compared pair by pair. Every
training is a process of its own, on the device of ``params.yaml``; ``--workers`` of them at a time. The critic of the
build judges ``--images`` of each. A training that fails says so, and costs no other its turn. All arms come to their
n-th training before any comes to the next, and the table is written after each, so a run may be ended when time is up.
The same command goes on from there, and with more ``--repeats`` adds to them.
"""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

from pydantic import TypeAdapter
from scipy.stats import t as student

from benchmarks.arms import ARMS, Arm
from benchmarks.child import print_result, result_of_child
from benchmarks.contenders import Setup, setup_of
from benchmarks.limits import require, require_balanced
from benchmarks.machine import code_mark, machine_line
from benchmarks.outcomes import Failure
from benchmarks.own import Own
from benchmarks.quality import Referee
from benchmarks.tables import markdown_table
from benchmarks.unfinished import Unfinished
from flows.environment import die_with_parent, prepare_environment
from flows.stage import CommandLine, guarded, single_builder
from models.evaluations import evaluations
from tasks.config import load_params
from tasks.errors import MissingResourceError, TryAgainError
from tasks.files import require_file, sha256_file, write_text
from tasks.judge import WEIGHTS

RESULTS = Path(__file__).with_name("ABLATIONS.md")
VARIANT = "flagship"
CONFIDENCE = 0.95
FIGURES = ("fid", "accuracy", "recall")


@dataclass(frozen=True, slots=True)
class Trained:
    """A training and what came of it.

    Attributes:
        arm: its name.
        repeat: which of the arm's trainings.
        seconds: that it took.
        evaluations: how often the network looks at each image that is drawn.
        figures: the critic's, by name.
    """

    arm: str
    repeat: int
    seconds: float
    evaluations: int
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked of every training.

    Attributes:
        images: drawn and judged.
        share: of the steps that the arm describes.

    Raises:
        ConfigError: one of them is out of range.
    """

    images: int
    share: float

    def __post_init__(self) -> None:
        require_balanced(self.images, 100)
        require(0.0 < self.share <= 1.0, "--share", "above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all trainings of a table have in common.

    Attributes:
        size: how much is asked of each.
        workers: how many run at a time.
        machine: processor, threads and versions, in a line.
        code: mark of parameters and code.
        critic: hash of the judge's weights.
    """

    size: Size
    workers: int
    machine: str
    code: str
    critic: str

    @classmethod
    def of(cls, size: Size, workers: int) -> "Conditions":
        """Those of this moment.

        Raises:
            MissingResourceError: there is no critic here.
        """
        critic = sha256_file(require_file(WEIGHTS))
        return cls(size, workers, machine_line(), code_mark(), critic)


TRAINED: TypeAdapter[Trained] = TypeAdapter(Trained)


def main() -> None:
    """Train every arm and write the table as it grows, or train one where the command line says which.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: there is no finished build here.
        TryAgainError: the folder is being rebuilt, or code, parameters or the critic changed.
    """
    options = command_line().parse_args()
    size = Size(options.images, options.share)
    require(options.repeats >= 1, "--repeats", "a number from 1")
    require(options.workers >= 1, "--workers", "a number from 1")
    prepare_environment()
    if options.trial:
        die_with_parent()
        arm, repeat = options.trial
        print_result(TRAINED, trained(ARMS[arm], repeat, size))
        return
    with single_builder(None):
        compare(Conditions.of(size, options.workers), options.repeats)
    sys.stdout.write(RESULTS.read_text())


def command_line() -> CommandLine:
    """The options."""
    parser = CommandLine(prog="python -m benchmarks.ablations")
    parser.add_argument("--repeats", type=int, default=3, help="trainings of each arm; default: 3")
    parser.add_argument("--images", type=int, default=1000, help="judged of each training; default: 1000")
    parser.add_argument("--share", type=float, default=1.0, help="of its steps that each training takes; default: 1")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time; default: 1")
    parser.add_argument("--trial", type=int, nargs=2, metavar=("ARM", "REPEAT"), help="train one and print its figures")
    return parser


def compare(conditions: Conditions, repeats: int) -> None:
    """Train every arm so many times, and write the table after each training.

    Raises:
        MissingResourceError: every training failed.
        TryAgainError: the conditions changed.
    """
    found: list[Trained] = []
    unfinished = Unfinished("ablations", TRAINED, asdict(conditions))
    jobs = [(arm, repeat) for repeat in range(repeats) for arm in range(len(ARMS))]
    with ThreadPoolExecutor(conditions.workers) as pool:
        for result in pool.map(partial(known_or_made, unfinished, conditions), *zip(*jobs, strict=True)):
            found += [result] if result else []
            write_text(RESULTS, page(found, conditions))
    if not found:
        what, do = "holds no result, since every training failed", "mend what each of them said above"
        raise MissingResourceError(str(RESULTS), what, "one result", do)


def known_or_made(unfinished: Unfinished[Trained], conditions: Conditions, arm: int, repeat: int) -> Trained | None:
    """A training that an interrupted run has behind it, or what a process of its own makes of it, which is kept.

    Raises:
        TryAgainError: the conditions are others by now, so that nobody knows in which it was trained.
    """
    part = f"{arm}-{repeat}"
    if known := unfinished.result(part):
        return known
    made = in_a_process(arm, repeat, conditions.size)
    if Conditions.of(conditions.size, conditions.workers) != conditions:
        what = "code, parameters or the critic changed while arms were trained"
        raise TryAgainError("benchmark", what, "those that it began with", "run it again")
    if made:
        unfinished.keep(part, made)
    return made


def in_a_process(arm: int, repeat: int, size: Size) -> Trained | None:
    """What a process of its own makes of a training; None where it failed, for which it says why itself."""
    options = ["--trial", str(arm), str(repeat), "--images", str(size.images), "--share", str(size.share)]
    result = result_of_child(TRAINED, ARMS[arm].name, "ablations", options)
    if isinstance(result, Failure):
        return None
    sys.stderr.write(f"{result.arm}, training {repeat}: FID {result.figures['fid']:.2f}\n")
    return result


def trained(arm: Arm, repeat: int, size: Size) -> Trained:
    """Train an arm to its end and have the critic judge what it draws."""
    params = load_params()
    spec = arm.of(params.variant(VARIANT))
    whole = spec.training
    steps, warmup = max(whole.snapshots, round(size.share * whole.steps)), int(size.share * whole.warmup_steps)
    spec = replace(spec, training=replace(whole, steps=steps, warmup_steps=warmup, repeat=repeat))
    setup = setup_of(replace(params, variants={VARIANT: spec}))
    start = time.monotonic()
    own = Own(setup, VARIANT, arm)
    while own.step(0.0):
        pass
    seconds = time.monotonic() - start
    return Trained(arm.name, repeat, seconds, evaluations(spec.sampling), figures_of(own, setup, size.images))


def figures_of(own: Own, setup: Setup, images: int) -> dict[str, float]:
    """The critic's figures of a trained variant's images, drawn in blocks of ``sample.batch``."""
    referee = Referee(setup.params, images)
    found = referee.bench.figures(referee.bench.look(*referee.images_by(own.draw)))
    return {name: float(found[name]) for name in FIGURES}


def page(found: Sequence[Trained], conditions: Conditions) -> str:
    """The results for people."""
    head = ["", "trainings", "s", "evaluations", "FID", "beside", "more", "class accuracy", "recall"]
    rows = [row for arm in ARMS if (row := _row(arm, found))]
    size = conditions.size
    return f"""# What the flagship's settings are worth

From `python -m benchmarks.ablations`: means over trainings of {size.share:.0%} of their steps, {size.images} images
each, judged by the build's critic; *s* are the seconds of a training, {conditions.workers} at a time.
*More* is the mean difference of FID from the arm under *beside*, which differs in one part alone (network, noising,
training, sampling or batches), between trainings of the same number; these share first weights, batches and noise as
far as what is changed has them in common. Its {CONFIDENCE:.0%} interval (Student's t) is not adjusted for the number of
arms. Below 0 the images are nearer to real ones, which is worth something where seconds and evaluations are no more.

{markdown_table(head, rows)}

{conditions.machine}, code {conditions.code}, critic {conditions.critic[:12]}.
"""


def _row(arm: Arm, found: Sequence[Trained]) -> list[str]:
    """An arm's means; empty where none of its trainings came to anything."""
    mine = {each.repeat: each for each in found if each.arm == arm.name}
    if not mine:
        return []
    fid, accuracy, recall = (fmean(each.figures[key] for each in mine.values()) for key in FIGURES)
    others = {each.repeat: each.figures["fid"] for each in found if each.arm == arm.beside}
    gaps = [each.figures["fid"] - others[repeat] for repeat, each in mine.items() if repeat in others]
    beside = ["", ""] if arm.name == arm.beside else [arm.beside, mean_gap(gaps)]
    cost = [f"{fmean(each.seconds for each in mine.values()):.0f}", f"{next(iter(mine.values())).evaluations}"]
    return [arm.name, f"{len(mine)}", *cost, f"{fid:.2f}", *beside, f"{accuracy:.3f}", f"{recall:.3f}"]


def mean_gap(gaps: Sequence[float]) -> str:
    """The mean of paired differences with its interval; without one where there are fewer than two."""
    if not gaps:
        return ""
    mean = fmean(gaps)
    if len(gaps) == 1:
        return f"{mean:+.2f}"
    half = float(student.ppf(0.5 + CONFIDENCE / 2.0, len(gaps) - 1)) * stdev(gaps) / len(gaps) ** 0.5
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
