"""The results of a side-by-side run as Markdown: a table a question."""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.growth import ImageCost, TrainingCost
from benchmarks.outcomes import TARGETS, Check, Failure, Outcome, Quality, seconds_to
from benchmarks.samplers import SamplerResult
from models.evaluations import levels_asked
from models.intervals import Interval
from models.sampler_spec import SamplerSpec, SigmaSamplerSpec
from tasks.wording import size_text


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def levels_cell(sampler: SamplerSpec) -> str:
    """The noise levels sigma at which a sampler asks a network; of one on discrete steps, how many these are."""
    levels = levels_asked(sampler)
    if isinstance(sampler, SigmaSamplerSpec):
        return ", ".join(f"{level:.2g}" for level in levels)
    return f"{len(levels)} steps"


def quality_table(outcomes: Sequence[Outcome], real: Quality) -> str:
    """How good each contender is when its training ends, above as many real test images."""
    ends = [(outcome.name, outcome.checks[-1]) for outcome in outcomes]
    rows = [
        [name, f"{end.seconds:.0f}", f"{end.images:,}", f"{end.look.judged:,}", *_quality_cells(end.quality)]
        for name, end in ends
    ]
    floor = ["real test images", "", "", "", *_quality_cells(real)]
    return markdown_table(["", "training, s", "images seen", "judged", "FID", "class accuracy"], [*rows, floor])


def time_table(outcomes: Sequence[Outcome]) -> str:
    """Seconds of training to each of :data:`benchmarks.outcomes.TARGETS`."""
    rows = ([outcome.name, *(time_cell(target, outcome.checks) for target in TARGETS)] for outcome in outcomes)
    return markdown_table(["", *(f"to FID {target:g}" for target in TARGETS)], rows)


def time_cell(target: float, checks: Sequence[Check]) -> str:
    """Seconds until the FID fell to ``target``, or what is known where that lies outside the checks."""
    seconds = seconds_to(target, checks)
    if seconds is None:
        return f"over {checks[-1].seconds:.0f} s"
    return f"{'at most ' if seconds == checks[0].seconds else ''}{seconds:.0f} s"


def training_table(outcomes: Sequence[Outcome]) -> str:
    """Size and speed of training, also as shares of what a convolution reaches in each precision."""
    precisions = _precisions(outcomes)
    shares = [f"of {name}" for name in precisions]
    head = ["", "parameters", "images/s", "MFLOP an image", "GFLOP/s", *shares, "memory of steps, MB"]
    return markdown_table(head, (_training_row(outcome, precisions) for outcome in outcomes))


def convolutions_told(outcomes: Sequence[Outcome]) -> str:
    """What a convolution reached, measured anew beside each training, in a sentence; empty where there was none."""
    if not outcomes:
        return ""
    rates = {name: sorted(outcome.convolution_gflops[name] for outcome in outcomes) for name in _precisions(outcomes)}
    told = " and ".join(f"{rate[0]:.0f} to {rate[-1]:.0f} GFLOP/s in {name}" for name, rate in rates.items())
    return f"They reached {told}, from one training to another."


def sampling_table(outcomes: Sequence[Outcome]) -> str:
    """Speed of sampling."""
    rows = ([it.name, f"{it.evaluations}", f"{it.drawn_per_second:.0f}"] for it in outcomes)
    return markdown_table(["", "evaluations an image", "images/s"], rows)


def sampler_table(results: Sequence[SamplerResult], real: Quality) -> str:
    """What each sampler makes of one model, and how fast, above as many real test images."""
    head = ["", "evaluations", "images/s", "FID", "class accuracy"]
    rows = [
        [it.name, f"{it.evaluations}", f"{it.images_per_second:.0f}", *_quality_cells(it.quality)] for it in results
    ]
    return markdown_table(head, [*rows, ["real test images", "", "", *_quality_cells(real)]])


def training_cost_table(costs: Sequence[TrainingCost]) -> str:
    """What a step takes, a row a batch and width."""
    head = ["batch x width", "parameters", "ms a step", "images/s", "GFLOP/s", "memory of steps, MB"]
    return markdown_table(head, map(_training_cost_row, costs))


def image_cost_table(costs: Sequence[ImageCost]) -> str:
    """What numbers of images take to draw and to judge."""
    rows = ([f"{it.images:,}", f"{it.drawing_s:.1f}", f"{it.judging_s:.1f}"] for it in costs)
    return markdown_table(["images", "drawing, s", "judging, s"], rows)


def left_out(outcomes: Sequence[Outcome], best: Sequence[Outcome], failures: Sequence[Failure]) -> list[str]:
    """A line for each entry that stands in no table, and for each best try that others do not enclose."""
    worse = [(it.name, it.settings, fid_cell(it.checks[-1].quality.fid)) for it in outcomes if it not in best]
    lines = [f"- {name}, {settings}: FID {fid}, worse than its best try." for name, settings, fid in worse]
    edges = [
        f"- {it.name} was best at the {end} rate tried: its best may lie beyond." for it, end in _edges(outcomes, best)
    ]
    return [*lines, *edges, *(f"- {failure.name} failed: {failure.reason}" for failure in failures)]


def _edges(outcomes: Sequence[Outcome], best: Sequence[Outcome]) -> Iterator[tuple[Outcome, str]]:
    """The best of several tries that lie at an end of the learning rates tried, and at which."""
    for chosen in best:
        rates = sorted(it.option for it in outcomes if it.name == chosen.name and isinstance(it.option, float))
        if len(rates) > 1 and chosen.option in (rates[0], rates[-1]):
            yield chosen, "lowest" if chosen.option == rates[0] else "highest"


def _quality_cells(quality: Quality) -> list[str]:
    return [fid_cell(quality.fid), f"{quality.accuracy.value:.3f}"]


def fid_cell(interval: Interval) -> str:
    """A distance with its interval."""
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _precisions(outcomes: Sequence[Outcome]) -> list[str]:
    return sorted({name for outcome in outcomes for name in outcome.convolution_gflops}, reverse=True)


def _training_row(outcome: Outcome, precisions: Sequence[str]) -> list[str]:
    shares = [f"{outcome.gflops / outcome.convolution_gflops[name]:.0%}" for name in precisions]
    speed = [f"{outcome.images_per_second:.0f}", f"{1000 * outcome.gflop_per_image:.0f}", f"{outcome.gflops:.0f}"]
    size = size_text(outcome.parameters, outcome.fitted_numbers)
    return [outcome.name, size, *speed, *shares, f"{outcome.step_memory_mb:.0f}"]


def _training_cost_row(cost: TrainingCost) -> list[str]:
    rate = 1000.0 * cost.batch / cost.step_ms
    speed = [f"{cost.step_ms:.0f}", f"{rate:.0f}", f"{cost.gflops:.0f}"]
    return [f"{cost.batch} x {cost.width:g}", f"{cost.parameters:,}", *speed, f"{cost.step_memory_mb:.0f}"]
