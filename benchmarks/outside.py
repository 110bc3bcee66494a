"""What classifiers beside the critic say of trained models: ``python -m benchmarks.outside``, in a finished build.

The judges (:mod:`benchmarks.outside_judges`) are trained where they have not been yet. Each model that the command line
names draws ``--images`` by its own sampler, equally many of every class, from the seeds of the build; ``--profile``
names a build in ``builds/``. Written to ``OUTSIDE.md``.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from benchmarks.drawers import command_line, enter
from benchmarks.drawing import drawn_in_time
from benchmarks.limits import require, require_balanced
from benchmarks.machine import code_mark, machine_line
from benchmarks.outside_judges import HELD_BACK, outside_judges
from benchmarks.tables import fid_cell, levels_cell, markdown_table
from flows.environment import log_to_stderr
from flows.stage import guarded, single_builder
from models.evaluations import evaluations
from tasks.config import load_params
from tasks.dataset import load_split
from tasks.distances import REFERENCE_PER_CLASS, real_features
from tasks.evidence import interval_beside
from tasks.files import read_json, write_text
from tasks.judge import Judge
from tasks.labels import NUM_CLASSES
from tasks.params import Params
from tasks.paths import metrics_file
from tasks.redrawn import Bench, Row
from tasks.reproducibility import prepare_compute
from tasks.sample import Array, balanced_requests, prepared_sampling
from tasks.side_by_side import in_few_words

RESULTS = Path(__file__).with_name("OUTSIDE.md")
MADE = ("", "made by", "asked at sigma", "evaluations", "training, s", "images/s")
SHARES = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a model has drawn.

    Attributes:
        title: of the model.
        settings: in a few words how it is made, trained and sampled.
        asked_at: noise levels at which its network is asked, in words.
        training_s: seconds that its training took.
        evaluations: of the network for each image.
        images_per_second: drawn, after a first batch that is not counted.
        images: uint8, shape (N, 28, 28).
        labels: the classes that they should show, int64, shape (N,).
    """

    title: str
    settings: str
    asked_at: str
    training_s: float
    evaluations: int
    images_per_second: float
    images: Array
    labels: Array


def main() -> None:
    """Have the models draw, judge their images, and write the page.

    Raises:
        ConfigError: an option or a parameter is wrong.
        MissingResourceError: there is no such build, or a model has not been trained in it.
        IntegrityError: a model's weights were altered.
        TryAgainError: the build is being made, or measured.
    """
    options = command_line("outside", 10_000).parse_args()
    require_balanced(options.images, 100)
    enter(options.profile)
    log_to_stderr()
    with single_builder(options.profile):
        params = load_params()
        most = NUM_CLASSES * fewest_of_a_class("test")
        require(options.images <= most, "--images", f"at most {most}, as many as the build has test images")
        drawn = [drawn_by(name, params, options.images) for name in options.variants]
        judges = outside_judges(prepare_compute(params.compute))
        said = {name: judged_by(judge, drawn, params) for name, judge in judges.items()}
    write_text(RESULTS, page(drawn, said, references(), params.evaluate.confidence))
    sys.stdout.write(RESULTS.read_text())


def drawn_by(variant: str, params: Params, images: int) -> Drawn:
    """So many images of a variant, and how fast they came."""
    spec = params.variant(variant)
    sampling = prepared_sampling(variant, spec, params.sample.batch, params.compute)
    labels, seeds = balanced_requests(images // NUM_CLASSES, params.seed)
    found, rate = drawn_in_time(sampling, labels, seeds)
    sys.stderr.write(f"{spec.title}: {images:,} images drawn, {rate:.0f}/s\n")
    training_s = float(read_json(metrics_file("train", variant))["seconds"])
    settings, asked_at = in_few_words(spec), levels_cell(spec.sampling)
    return Drawn(spec.title, settings, asked_at, training_s, evaluations(spec.sampling), rate, found, labels)


def judged_by(judge: Judge, drawn: Sequence[Drawn], params: Params) -> dict[str, Row]:
    """A judge's figures of each model's images by title, and of as many real test images."""
    evaluate, seed = params.evaluate, params.seed
    bench = Bench(judge, real_features(judge, seed), evaluate.confidence, evaluate.neighbours, seed)
    rows = {each.title: bench.figures(bench.look(each.images, each.labels)) for each in drawn}
    return {**rows, "real test images": bench.real(len(drawn[0].labels) // NUM_CLASSES)}


def fewest_of_a_class(split: str) -> int:
    """How many images of every class a split has at least."""
    return int(load_split(split).labels.bincount(minlength=NUM_CLASSES).min())


def references() -> str:
    """The training images that all are held to, in words."""
    found = NUM_CLASSES * min(REFERENCE_PER_CLASS, fewest_of_a_class("train"))
    drawn = read_json(metrics_file("prepare"))["drawn"]
    data = "garments that the project draws itself" if drawn else "Fashion-MNIST"
    return f"{found:,} training images of {data}"


def page(drawn: Sequence[Drawn], said: Mapping[str, Mapping[str, Row]], held_to: str, confidence: float) -> str:
    """The results for people."""
    tables = "\n".join(f"## By {judge}\n\n{_judged_table(rows)}\n" for judge, rows in said.items())
    told = f"""\
From `python -m benchmarks.outside`: {len(drawn[0].labels):,} images of each model, equally many of every class, drawn
by its own sampler, and as many test images, held to {held_to} by {len(said)} classifiers that no stage of the pipeline
knows. The flagship's settings were chosen with the figures of all of them in sight but those of {HELD_BACK},
which was trained after the last choice. Each has a scale of its own, whose lower end the real images tell. Precision,
recall, density and coverage compare equally many images; intervals are of {confidence:.0%}, over images. Each model
was trained once."""
    return f"""# Judged by classifiers beside the critic

{fill(told, 120)}

{markdown_table(MADE, map(_made, drawn))}

{tables}
{machine_line()}, code {code_mark()}.
"""


def _made(model: Drawn) -> list[str]:
    figures = f"{model.evaluations}", f"{model.training_s:.0f}", f"{model.images_per_second:.0f}"
    return [model.title, model.settings, model.asked_at, *figures]


def _judged_table(rows: Mapping[str, Row]) -> str:
    head = ["", "class accuracy", "FID", *SHARES]
    return markdown_table(head, ([title, *_cells(row)] for title, row in rows.items()))


def _cells(row: Row) -> list[str]:
    fid, accuracy = (interval_beside(row, key) for key in ("fid", "accuracy"))
    right = f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})"
    return [right, fid_cell(fid), *(f"{row[name]:.3f}" for name in SHARES)]


if __name__ == "__main__":
    sys.exit(guarded(main, "--debug" in sys.argv[1:]))
