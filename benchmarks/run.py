"""The project's models beside what a user would otherwise pick: ``python -m benchmarks.run``, in a finished build.

Every entry of :mod:`benchmarks.contenders` is trained in a process of its own, one after another, on the same data and
threads, and judged by the same critic; then the build's flagship shows what each sampler makes of it, and how cost
grows. What came of it lies in ``RESULTS.md``, ``results.json`` and ``results.png``, and for the report in
``summary.json``, all of them in the folder ``results``, and is written after each of these parts.
"""

import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from benchmarks.contenders import ENTRIES, PEERS, Entry, Setup, setup_on_cpu
from benchmarks.figure import draw_results
from benchmarks.growth import ImageCost, TrainingCost, image_costs, training_costs
from benchmarks.limits import Limits, command_line
from benchmarks.machine import machine_line
from benchmarks.outcomes import Failure, Outcome, Quality, best_of
from benchmarks.quality import Referee
from benchmarks.samplers import SamplerResult, sampler_results
from benchmarks.tables import (
    TARGETS,
    image_cost_table,
    left_out,
    quality_table,
    sampler_table,
    sampling_table,
    time_cell,
    time_table,
    training_cost_table,
    training_table,
)
from benchmarks.trial import RESULT
from flows.environment import prepare_environment
from flows.stage import guarded
from tasks.errors import MissingResourceError
from tasks.files import write_json, write_text
from tasks.judge import CARD
from tasks.paths import artifact, split_file
from tasks.side_by_side import SUMMARY
from tasks.weights import WEIGHTS

T = TypeVar("T")
FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured, with what it was measured on."""

    limits: Limits
    outcomes: list[Outcome]
    failures: list[Failure]
    real: Quality
    precision: str
    machine: str
    versions: dict[str, str]
    samplers: list[SamplerResult] = field(default_factory=list)
    training_costs: list[TrainingCost] = field(default_factory=list)
    image_costs: list[ImageCost] = field(default_factory=list)

    @property
    def measured_on(self) -> str:
        """The machine, and the versions of the peers."""
        return ", ".join([self.machine, *(f"{peer} {number}" for peer, number in self.versions.items())])


def main() -> None:
    """Compare all entries, measure the flagship, and write the results.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: there is no finished build here.
    """
    limits = Limits.of(command_line("run").parse_args())
    require_build()
    prepare_environment()
    for results in measured(limits, setup_on_cpu()):
        publish(results)
    sys.stdout.write(page(results))


def measured(limits: Limits, setup: Setup) -> Iterator[Results]:
    """Take all measurements, and tell what there is after each part of them."""
    outcomes, failures = told_apart(result_of(index, entry) for index, entry in enumerate(ENTRIES))
    results = Results(
        limits=limits,
        outcomes=outcomes,
        failures=failures,
        real=Referee(setup.params, limits.images).real(),
        precision=setup.precision_name,
        machine=machine_line(),
        versions={peer: version(peer) for peer in PEERS},
    )
    yield results
    results = replace(results, samplers=sampler_results(setup, limits.images))
    yield results
    costs, failed = told_apart(training_costs(setup.params.variant("flagship").training.batch))
    yield replace(results, failures=[*failures, *failed], training_costs=costs, image_costs=image_costs(setup))


def told_apart(found: Iterable[T | Failure]) -> tuple[list[T], list[Failure]]:
    """What came to something, and what failed."""
    results = list(found)
    good = [result for result in results if not isinstance(result, Failure)]
    return good, [result for result in results if isinstance(result, Failure)]


def publish(results: Results) -> None:
    """Write everything that is told of results."""
    write_json(FOLDER / "results.json", TypeAdapter(Results).dump_python(results, mode="json"))
    write_json(SUMMARY, summary(results))
    draw_results(best_of(results.outcomes), results.real, FOLDER)
    write_text(FOLDER / "RESULTS.md", page(results))


def require_build() -> None:
    """Refuse a folder without a judge, a trained flagship or data.

    Raises:
        MissingResourceError: no report was built in it.
    """
    for path in (CARD.parent, artifact("flagship", WEIGHTS), split_file("train"), split_file("test")):
        if not path.exists():
            raise MissingResourceError(str(path), "is missing", "a finished build in this folder", "run `make report`")


def result_of(index: int, entry: Entry) -> Outcome | Failure:
    """Run an entry in a process of its own; one that fails, or is killed, costs no other its turn."""
    command = [sys.executable, "-m", "benchmarks.trial", str(index), *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return RESULT.validate_json("".join(done.stdout.splitlines()[-1:]))
    except ValidationError:
        return Failure(entry.name, f"its process ended with code {done.returncode}")


def summary(results: Results) -> dict[str, Any]:
    """What the report tells of the results; see :mod:`tasks.side_by_side`."""
    return {
        "machine": results.measured_on,
        "precision": results.precision,
        "seconds": results.limits.seconds,
        "images": results.limits.images,
        "targets": TARGETS,
        "rows": [
            {
                "name": outcome.name,
                "settings": outcome.settings,
                "images_per_second": outcome.images_per_second,
                "times": [time_cell(target, outcome.checks) for target in TARGETS],
                "fid": outcome.checks[-1].quality.fid.to_json(),
            }
            for outcome in best_of(results.outcomes)
        ],
    }


def page(results: Results) -> str:
    """The results for people."""
    best = best_of(results.outcomes)
    return f"""# Side by side

{textwrap.fill(compared(results, best), 120)}

## Quality

{quality_table(best, results.real)}

![FID against seconds of training](results.png)

## Time to a quality

{time_table(best)}

## Training

The shares are of the GFLOP/s of the flagship's 3x3 convolutions alone, forward and backward, on the same threads.

{training_table(best)}

## Sampling

{sampling_table(best)}

{samplers_part(results)}{costs_part(results)}{left_out(results.outcomes, best, results.failures)}

{results.measured_on}.
"""


def samplers_part(results: Results) -> str:
    """What each sampler makes of the flagship; empty before that is measured."""
    if not results.samplers:
        return ""
    return f"""The flagship of this folder's build, drawn first by its own sampler and then by those of its sweep:

{sampler_table(results.samplers, results.real)}

"""


def costs_part(results: Results) -> str:
    """How the flagship's cost grows; empty before that is measured."""
    if not results.image_costs:
        return ""
    return f"""## How cost grows

Steps of the flagship's training in processes of their own, by the images of a batch and by a factor on its channels:

{training_cost_table(results.training_costs)}

Drawing images with the flagship of this folder's build, and the critic's comparison of them with real ones:

{image_cost_table(results.image_costs)}

"""


def compared(results: Results, best: list[Outcome]) -> str:
    """What was compared, in a sentence."""
    limits, settings = results.limits, "; ".join(f"`{outcome.name}` ({outcome.settings})" for outcome in best)
    trained = (
        f"trained one after another on the same images in {results.precision} for at most {limits.seconds:g} s each"
    )
    judged = f"judged by the project's critic on {limits.images} images, equally many of every class"
    return f"From `make bench`: {settings}, {trained}, and {judged}."


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
