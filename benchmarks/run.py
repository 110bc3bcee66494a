"""The project's models beside what a user would otherwise pick: ``python -m benchmarks.run``, in a finished build.

Every entry of :mod:`benchmarks.contenders` is trained in a process of its own, one after another, on the same data and
threads, and judged by the same critic; then the build's flagship shows what each sampler makes of it, and how cost
grows. What came of it lies in ``RESULTS.md``, ``results.json`` and ``results.png``, and for the report in
``summary.json``, all of them in the folder ``results``, and is written after each of these parts. A run that was
interrupted, or of which an entry failed, goes on with the entries that are left.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from benchmarks.child import result_of_child
from benchmarks.circumstances import Circumstances
from benchmarks.contenders import ENTRIES, Entry, Setup, setup_on_cpu
from benchmarks.growth import image_costs, training_costs
from benchmarks.limits import Limits, command_line
from benchmarks.outcomes import Failure, Outcome
from benchmarks.quality import Referee
from benchmarks.record import Results, page, publish
from benchmarks.samplers import sampler_results
from benchmarks.trial import RESULT
from benchmarks.unfinished import Unfinished
from flows.environment import prepare_environment
from flows.stage import guarded, single_builder
from tasks.checkpoint import differing_keys
from tasks.config import load_params
from tasks.errors import MissingResourceError, TryAgainError
from tasks.files import as_json, read_json
from tasks.judge import CARD
from tasks.params import Params
from tasks.paths import artifact, split_file
from tasks.train import run_config
from tasks.weights import WEIGHTS, read_card

T = TypeVar("T")
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


def main() -> None:
    """Compare all entries, measure the flagship, and write the results, while no build runs in this folder.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: there is no finished build here.
        TryAgainError: the folder is being rebuilt, or something changed that results depend on.
    """
    limits = Limits.of(command_line("run").parse_args())
    prepare_environment()
    with single_builder(None):
        require_build(load_params())
        for results in measured(limits, setup_on_cpu()):
            publish(results)
    sys.stdout.write(page(results))


def measured(limits: Limits, setup: Setup) -> Iterator[Results]:
    """Take all measurements, and tell what there is after each part of them."""
    circumstances = Circumstances.of(setup)
    unfinished = kept_trials(limits, circumstances)
    real = Referee(setup.params, limits.images).real()
    outcomes, failures = told_apart(trials(unfinished, limits, circumstances, setup))
    results = Results(limits, circumstances, outcomes, failures, real)
    yield results
    results = replace(results, samplers=sampler_results(setup, limits.images))
    require_unchanged(circumstances, setup)
    yield results
    costs, failed = told_apart(training_costs(setup.params.variant("flagship").training.batch))
    results = replace(results, failures=[*failures, *failed], training_costs=costs, image_costs=image_costs(setup))
    require_unchanged(circumstances, setup)
    yield results
    if not failures:
        unfinished.forget()


def kept_trials(limits: Limits, circumstances: Circumstances) -> Unfinished[Outcome]:
    """What an interrupted run with these limits has measured in these circumstances."""
    return Unfinished("side_by_side", OUTCOME, [asdict(limits), asdict(circumstances)])


def trials(
    unfinished: Unfinished[Outcome], limits: Limits, circumstances: Circumstances, setup: Setup
) -> Iterator[Outcome | Failure]:
    """What comes of all entries, one after another; of those that an interrupted run has behind it, what came of them.

    Raises:
        TryAgainError: something changed since the run began that results depend on.
    """
    for number, entry in enumerate(ENTRIES):
        known = unfinished.result(str(number))
        result = known or result_of(entry, limits)
        require_unchanged(circumstances, setup)
        if known:
            sys.stderr.write(f"{known.name}, {known.settings}: kept, trained until {known.ended}\n")
        elif isinstance(result, Outcome):
            unfinished.keep(str(number), result)
        yield result


def require_unchanged(circumstances: Circumstances, setup: Setup) -> None:
    """Refuse to put together what was measured in different circumstances.

    Raises:
        TryAgainError: they are not those of the beginning.
    """
    if Circumstances.of(setup) != circumstances:
        what = "parameters, code, packages or the critic changed while contenders were measured"
        raise TryAgainError("benchmark", what, "those that it began with", "run `make bench` again")


def told_apart(found: Iterable[T | Failure]) -> tuple[list[T], list[Failure]]:
    """What came to something, and what failed."""
    results = list(found)
    good = [result for result in results if not isinstance(result, Failure)]
    return good, [result for result in results if isinstance(result, Failure)]


def require_build(params: Params) -> None:
    """Refuse a folder without data, or without the judge and the flagship that these parameters and this code train.

    Raises:
        MissingResourceError: no report was built in it, or one of other parameters or code.
        IntegrityError: what tells how they were trained was altered.
    """
    for path in (CARD, artifact("flagship", WEIGHTS), split_file("train"), split_file("test")):
        if not path.exists():
            raise MissingResourceError(str(path), "is missing", "a finished build in this folder", "run `make report`")
    flagship = run_config(params.variant("flagship"), params.compute, params.seed)
    _require_alike(artifact("flagship", WEIGHTS), flagship, read_card("flagship")["config"])
    critic = {**asdict(params.critic), "seed": params.seed, "data_sha256": flagship["data_sha256"]}
    card = read_json(CARD)
    made = {**card["config"], **{key: card[key] for key in ("seed", "data_sha256")}}
    _require_alike(CARD, as_json(critic), made)


def _require_alike(path: Path, wanted: dict[str, Any], made: dict[str, Any]) -> None:
    if different := differing_keys(wanted, made):
        what = f"was trained under another configuration ({', '.join(different[:3])})"
        raise MissingResourceError(str(path), what, "a build of this one", "run `make report`")


def result_of(entry: Entry, limits: Limits) -> Outcome | Failure:
    """Run an entry in a process of its own; one that fails, or is killed, costs no other its turn."""
    debug = [option for option in sys.argv[1:] if option == "--debug"]
    arguments = [str(ENTRIES.index(entry)), *limits.as_options, *debug]
    return result_of_child(RESULT, entry.name, "trial", arguments)


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
