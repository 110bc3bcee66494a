"""The project's models beside what a user would otherwise pick: ``python -m benchmarks.run``, in a finished build.

Every entry of :mod:`benchmarks.contenders` is trained in a process of its own, one after another, on the same data and
threads, and judged by the same critic; then the build's flagship shows what each sampler makes of it, and how cost
grows. What came of it lies in ``RESULTS.md``, ``results.json`` and ``results.png``, and for the report in
``summary.json``, all of them in the folder ``results``, and is written after each of these parts.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import TypeVar

from benchmarks.child import result_of_child
from benchmarks.contenders import ENTRIES, PEERS, Entry, Setup, setup_on_cpu
from benchmarks.growth import image_costs, training_costs
from benchmarks.limits import Limits, command_line
from benchmarks.machine import code_mark, machine_line
from benchmarks.outcomes import Failure, Outcome
from benchmarks.quality import Referee
from benchmarks.record import Results, last_results, page, publish
from benchmarks.samplers import sampler_results
from benchmarks.trial import RESULT
from flows.environment import prepare_environment
from flows.stage import guarded
from tasks.checkpoint import differing_keys
from tasks.config import load_params
from tasks.errors import ConfigError, MissingResourceError
from tasks.judge import CARD
from tasks.params import Params
from tasks.paths import artifact, split_file
from tasks.train import run_config
from tasks.weights import WEIGHTS, read_card

T = TypeVar("T")
NAMES = tuple(dict.fromkeys(entry.name for entry in ENTRIES))


def main() -> None:
    """Compare all entries, measure the flagship, and write the results.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: there is no finished build here, or no run to add to.
    """
    parser = command_line("run")
    parser.add_argument(
        "--again", choices=NAMES, help="measure one contender anew, and keep what the last run found else"
    )
    options = parser.parse_args()
    limits = Limits.of(options)
    prepare_environment()
    require_build(load_params())
    setup = setup_on_cpu()
    for results in [measured_again(options.again, limits, setup)] if options.again else measured(limits, setup):
        publish(results)
    sys.stdout.write(page(results))


def measured(limits: Limits, setup: Setup) -> Iterator[Results]:
    """Take all measurements, and tell what there is after each part of them."""
    outcomes, failures = trials(NAMES, limits)
    real = Referee(setup.params, limits.images).real()
    results = Results(limits, outcomes, failures, real, *circumstances(setup))
    yield results
    results = replace(results, samplers=sampler_results(setup, limits.images))
    yield results
    costs, failed = told_apart(training_costs(setup.params.variant("flagship").training.batch))
    yield replace(results, failures=[*failures, *failed], training_costs=costs, image_costs=image_costs(setup))


def measured_again(name: str, limits: Limits, setup: Setup) -> Results:
    """The results of the last run, with one contender measured anew.

    Raises:
        ConfigError: the last run was another machine's, had other limits, or another critic.
        MissingResourceError: there was none.
    """
    last = last_results()
    alike = (last.limits, last.precision, last.machine, last.versions, last.code) == (limits, *circumstances(setup))
    if not alike or last.real != Referee(setup.params, limits.images).real():  # as only the same critic sees them
        what = "would add to a run of another kind"
        expected = f"the machine, code, limits and critic of {last.measured_on}"
        raise ConfigError("--again", what, f"{expected}, {last.limits}", "measure all contenders")
    outcomes, failures = trials([name], limits)
    together = [*outcomes, *(it for it in last.outcomes if it.name != name)]
    left = [failure for failure in last.failures if failure.name != name]
    return replace(last, outcomes=sorted(together, key=lambda it: NAMES.index(it.name)), failures=[*left, *failures])


def circumstances(setup: Setup) -> tuple[str, str, dict[str, str], str]:
    """What results depend on beside limits: precision, machine, the versions of the peers, parameters and code."""
    return setup.precision_name, machine_line(), {peer: version(peer) for peer in PEERS}, code_mark()


def trials(names: Iterable[str], limits: Limits) -> tuple[list[Outcome], list[Failure]]:
    """Run all entries of some contenders, one after another."""
    return told_apart(result_of(entry, limits) for entry in ENTRIES if entry.name in names)


def told_apart(found: Iterable[T | Failure]) -> tuple[list[T], list[Failure]]:
    """What came to something, and what failed."""
    results = list(found)
    good = [result for result in results if not isinstance(result, Failure)]
    return good, [result for result in results if isinstance(result, Failure)]


def require_build(params: Params) -> None:
    """Refuse a folder without a judge or data, or without the flagship that these parameters and this code train.

    Raises:
        MissingResourceError: no report was built in it, or one of other parameters or code.
        IntegrityError: what tells how the flagship was trained was altered.
    """
    for path in (CARD.parent, artifact("flagship", WEIGHTS), split_file("train"), split_file("test")):
        if not path.exists():
            raise MissingResourceError(str(path), "is missing", "a finished build in this folder", "run `make report`")
    wanted = run_config(params.variant("flagship"), params.compute, params.seed)
    if different := differing_keys(wanted, read_card("flagship")["config"]):
        what = f"was trained under another configuration ({', '.join(different[:3])})"
        raise MissingResourceError(str(artifact("flagship", WEIGHTS)), what, "a build of this one", "run `make report`")


def result_of(entry: Entry, limits: Limits) -> Outcome | Failure:
    """Run an entry in a process of its own; one that fails, or is killed, costs no other its turn."""
    debug = [option for option in sys.argv[1:] if option == "--debug"]
    arguments = [str(ENTRIES.index(entry)), *limits.as_options, *debug]
    return result_of_child(RESULT, entry.name, "trial", arguments)


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
