"""What each sampler makes of the finished build's flagship, and how fast: the sweep of the report, with a clock."""

from dataclasses import dataclass, replace

from benchmarks.contenders import Setup
from benchmarks.drawing import drawn_in_time
from benchmarks.outcomes import Quality
from benchmarks.quality import Referee
from tasks.labels import NUM_CLASSES
from tasks.sample import balanced_requests, prepared_sampling
from tasks.sweep import candidates, described, own_attempt

VARIANT = "flagship"


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
    referee = Referee(params, images)
    labels, seeds = balanced_requests(images // NUM_CLASSES, params.seed)
    results = []
    own = own_attempt(spec)
    for attempt in [own, *candidates(spec, params.sweep)]:
        drawn, rate = drawn_in_time(replace(sampling, sampler=attempt.sampler), labels, seeds)
        quality, told = referee.quality(referee.bench.look(drawn, labels)), described(attempt, own)
        results.append(SamplerResult(told["sampler"], told["evaluations"], rate, quality))
    return results
