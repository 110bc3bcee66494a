"""What each sampler makes of the finished build's flagship, and how fast: the sweep of the report, with a clock."""

import time
from dataclasses import dataclass, replace

from benchmarks.contenders import Setup
from benchmarks.outcomes import Quality
from models.intervals import Interval
from tasks.redrawn import Bench, drawn_again
from tasks.sample import balanced_requests, prepared_sampling
from tasks.sweep import candidates, described, own_attempt

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
    drawn_again(sampling, labels[: sampling.batch], seeds[: sampling.batch])  # the first to come pays for no warming up
    results = []
    own = own_attempt(spec)
    for attempt in [own, *candidates(spec, params.sweep)]:
        sampler = attempt.sampler
        start = time.monotonic()
        drawn = drawn_again(replace(sampling, sampler=sampler), labels, seeds)
        rate = len(labels) / (time.monotonic() - start)
        figures = bench.figures(bench.look(drawn, labels))
        fid, accuracy = (Interval(*(figures[f"{key}{end}"] for end in ("", "_low", "_high"))) for key in KEYS)
        told = described(attempt, own)
        results.append(SamplerResult(told["sampler"], told["evaluations"], rate, Quality(fid, accuracy)))
    return results
