"""What a side-by-side run comes to: a page, a picture, a record, and what the report quotes of it."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.circumstances import Circumstances
from benchmarks.contenders import RATES, SAMPLING_STEPS
from benchmarks.growth import ImageCost, TrainingCost
from benchmarks.limits import Limits
from benchmarks.outcomes import TARGETS, Failure, Outcome, Quality, best_of
from benchmarks.quality import FAR, GLANCE
from benchmarks.samplers import SamplerResult
from benchmarks.tables import (
    convolutions_told,
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
from tasks.figures.side_by_side import time_to_quality
from tasks.figures.style import save_picture, theme
from tasks.files import as_json, write_json, write_text
from tasks.side_by_side import SUMMARY

FOLDER = Path(__file__).parent / "results"
README = Path("README.md")
MARKS = "<!-- of `make bench` -->\n", "<!-- until here -->\n"
"""What encloses the table in README that each run writes anew."""
SOUGHT = (
    "The settings of the project's own variants were sought on this data, in part by this critic; the course's model "
    f"is trained for as long as `make full` trains it. Of each other library {len(RATES)} tries differ in learning "
    "rate: the first has that of its own example or trainer, and the best by this critic stands for it. They depart "
    "from example and trainer in this: their networks, made for larger pictures, are narrowed for two cores and told "
    "the class; arithmetic is in bfloat16 where that trains the flagship faster, as it does theirs; where a learning "
    "rate rises and falls, it does so over the whole time allowed, so what such a training reaches on the way is not "
    "its best for that time; the average of the weights takes in every step; and images are drawn by DPM-Solver++, "
    f"in {', '.join(map(str, SAMPLING_STEPS[:-1]))} or {SAMPLING_STEPS[-1]} steps, whichever this critic finds best "
    f"by {GLANCE} images, since 1000 steps of their own samplers would take hours. benchmarks/diffusers_unet.py and "
    "benchmarks/lucidrains_unet.py name every choice. Each was trained once; intervals are over images."
)
SHARES = (
    "Behind a plus sign: numbers fitted to the training images in closed form. The shares are of the GFLOP/s of the "
    "flagship's 3x3 convolutions alone, both ways, on the same threads."
)
BETWEEN = (
    "Seconds of training, between two checks on a straight line in both logarithms; 'at most' where the first check "
    "was there already, 'over' where the last one was not."
)


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured, with what it was measured on."""

    limits: Limits
    circumstances: Circumstances
    outcomes: list[Outcome]
    failures: list[Failure]
    real: Quality
    samplers: list[SamplerResult] = field(default_factory=list)
    training_costs: list[TrainingCost] = field(default_factory=list)
    image_costs: list[ImageCost] = field(default_factory=list)


def publish(results: Results) -> None:
    """Write everything that is told of results."""
    write_json(FOLDER / "results.json", TypeAdapter(Results).dump_python(results, mode="json"))
    told = as_json(summary(results))
    write_json(SUMMARY, told)
    with theme():
        save_picture(time_to_quality(told), FOLDER, "results")
    write_text(FOLDER / "RESULTS.md", page(results))
    if README.exists():
        write_text(README, readme(README.read_text(), results))


def summary(results: Results) -> dict[str, Any]:
    """What the report tells of the results; see :mod:`tasks.side_by_side`."""
    circumstances = results.circumstances
    return {
        "machine": circumstances.line,
        "precision": circumstances.precision,
        "confidence": circumstances.confidence,
        "variants": circumstances.variants,
        "parameters": {it.option: it.parameters for it in results.outcomes if it.option in circumstances.variants},
        "real": results.real.fid.to_json(),
        "seconds": results.limits.seconds,
        "images": results.limits.images,
        "targets": TARGETS,
        "rows": [
            {
                "name": outcome.name,
                "settings": outcome.settings,
                "images_per_second": outcome.images_per_second,
                "looks": [{"seconds": it.seconds, "fid": it.quality.fid.to_json()} for it in outcome.checks],
                "times": [time_cell(target, outcome.checks) for target in TARGETS],
                "fid": outcome.checks[-1].quality.fid.to_json(),
                "judged": outcome.checks[-1].look.judged,
            }
            for outcome in best_of(results.outcomes)
        ],
    }


def page(results: Results) -> str:
    """The results for people."""
    best = best_of(results.outcomes)
    return f"""# Side by side

{textwrap.fill(compared(results, best), 120)}

{textwrap.fill(SOUGHT, 120)}

## Quality

{quality_table(best, results.real)}

{others_part(results, best)}![FID against seconds of training](results.png)

## Time to a quality

{textwrap.fill(BETWEEN, 120)}

{time_table(best)}

## Training

{textwrap.fill(f"{SHARES} {convolutions_told(results.outcomes)}", 120)}

{training_table(best)}

## Sampling

{sampling_table(best)}

{samplers_part(results)}{costs_part(results)}{textwrap.fill(measured_in(results), 120)}
"""


def readme(text: str, results: Results) -> str:
    """A README that tells how soon each contender reaches a quality, where ``text`` has a place for that."""
    begin, end = MARKS
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not ended:
        return text
    return f"{before}{begun}\n{time_table(best_of(results.outcomes))}\n\n{ended}{after}"


def others_part(results: Results, best: list[Outcome]) -> str:
    """What stands in no table, or for less than it says, and why; empty where there is nothing of it."""
    lines = [*left_out(results.outcomes, best, results.failures), *stopped_early(results)]
    return "\n".join([*lines, "", ""]) if lines else ""


def stopped_early(results: Results) -> Iterator[str]:
    """A line for each of the project's own models whose time was over before its training."""
    for outcome in results.outcomes:
        if variant := results.circumstances.variants.get(str(outcome.option)):
            seen, whole = outcome.checks[-1].images, variant["training"]["steps"] * variant["training"]["batch"]
            if seen < whole:
                yield f"- {outcome.name} was stopped by the time, after {seen:,} of {whole:,} images."


def samplers_part(results: Results) -> str:
    """What each sampler makes of the flagship; empty before that is measured."""
    if not results.samplers:
        return ""
    return f"""The flagship of this folder's build, drawn first by its own sampler and then by those that `sweep` names.
Each speed is of one drawing: how far it lies from that of the same sampler above tells how busy the machine was.

{sampler_table(results.samplers, results.real)}

"""


def costs_part(results: Results) -> str:
    """How the flagship's cost grows; empty before that is measured."""
    if not results.image_costs:
        return ""
    return f"""## How cost grows

Steps of the flagship's training in processes of their own, by the images of a batch and by a factor on its
channels, which then become multiples of 16:

{training_cost_table(results.training_costs)}

Drawing images with the flagship of this folder's build, and the critic's comparison of them with real ones:

{image_cost_table(results.image_costs)}

"""


def measured_in(results: Results) -> str:
    """When and in which circumstances, in two sentences."""
    times = sorted(outcome.ended for outcome in results.outcomes)
    when = f" Trainings ended between {times[0]} and {times[-1]} (UTC)." if times else ""
    return f"{results.circumstances.line}.{when}"


def compared(results: Results, best: list[Outcome]) -> str:
    """What was compared, in a sentence."""
    limits, precision = results.limits, results.circumstances.precision
    settings = "; ".join(f"`{outcome.name}` ({outcome.settings})" for outcome in best)
    trained = f"trained one after another on the same images in {precision} for at most {limits.seconds:g} s each"
    steps = "the project's own for no more than their steps"
    judged = f"judged by the project's critic on {limits.images} images, equally many of every class"
    few = any(check.look.judged < limits.images for outcome in results.outcomes for check in outcome.checks)
    far = (
        f" Where {GLANCE} of them already have an FID above {FAR:g}, no more are drawn; of so few it comes out larger."
    )
    return f"From `make bench`: {settings}, {trained}, {steps}, and {judged}.{far if few else ''}"
