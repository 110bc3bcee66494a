"""What each sampler makes of the finished build's flagship, and how fast: the sweep of the report, with a clock."""

import time
from dataclasses import dataclass, replace

from benchmarks.contenders import Setup
from benchmarks.outcomes import Quality
from models.evaluations import evaluations
from models.intervals import Interval
from tasks.redrawn import Bench, drawn_again
from tasks.sample import balanced_requests, prepared_sampling
from tasks.sampler_names import sampler_name
from tasks.sweep import candidates, own_attempt

VARIANT = "flagship"
KEYS = ("fid", "accuracy")


@dataclass(frozen=True, slots=True)
class SamplerResult:
    """A sampler at work.

    Attributes:
        name: the solver in words, and its start where it is noise.
        evaluations: how often the network looks at each image.
        images_per_second: drawn.
        quality: of what was drawn.
    """

    name: str
    evaluations: int
    images_per_second: float
    quality: Quality


def sampler_results(setup: Setup, images: int) -> list[SamplerResult]:
    """Draw images by the flagship's own sampler and by those of the sweep, from the same seeds.

    Args:
        setup: parameters and device.
        images: how many by each, a multiple of 10.

    Raises:
        MissingResourceError: the build has no flagship.
        IntegrityError: its weights were altered.
    """
    params = setup.params
    spec = params.variant(VARIANT)
    sampling = prepared_sampling(VARIANT, spec, params.sample.batch, params.compute)
    bench = Bench.of_build(params.evaluate, params.compute, params.seed)
    labels, seeds = balanced_requests(images // 10, params.seed)
    results = []
    for attempt in [own_attempt(spec), *candidates(spec, params.sweep)]:
        sampler = attempt.sampler
        start = time.monotonic()
        drawn = drawn_again(replace(sampling, sampler=sampler), labels, seeds)
        rate = len(labels) / (time.monotonic() - start)
        figures = bench.figures(bench.look(drawn, labels))
        fid, accuracy = (Interval(*(figures[f"{key}{end}"] for end in ("", "_low", "_high"))) for key in KEYS)
        name = sampler_name(sampler) + (" from noise" if sampler.start == "noise" else "")
        results.append(SamplerResult(name, evaluations(sampler), rate, Quality(fid, accuracy)))
    return results
