"""Where a sampler has the network look on its way from noise to picture, and what that costs; without torch."""

import itertools
from dataclasses import replace

from models.sampler_spec import SamplerSpec, SigmaSamplerSpec
from models.sigma_levels import churned, sampler_grid, within

SAME_AS_2M = {"dpmpp_3m": 4, "ipndm": 2, "unipc": 2}
"""Up to how many steps a sampler draws the images of DPM-Solver++(2M): it first looks back at what is in sight, and
takes its last steps in lower order again."""


def plainest(sampler: SamplerSpec) -> SamplerSpec:
    """The simplest sampler that draws the same images, but for rounding; mostly the same."""
    if isinstance(sampler, SigmaSamplerSpec) and not sampler.jumps and sampler.steps <= SAME_AS_2M.get(sampler.kind, 0):
        return replace(sampler, kind="dpmpp_2m")
    return sampler


def evaluations(sampler: SamplerSpec) -> int:
    """Evaluations of a network per image: at each noise level where it is asked one, two where guidance acts."""
    return len(levels_asked(sampler)) + len(levels_guided(sampler))


def levels_asked(sampler: SamplerSpec) -> list[float]:
    """Those of the levels visited at which a network answers, and not the prior alone."""
    visited = levels_visited(sampler)
    if not isinstance(sampler, SigmaSamplerSpec):
        return visited
    return [level for level in visited if within(level, (0.0, sampler.mended_below))]


def levels_guided(sampler: SamplerSpec) -> list[float]:
    """Those of the levels asked at which guidance asks two models; none at scales 0 and 1, which ask one."""
    if sampler.guidance in (0.0, 1.0):
        return []
    interval = sampler.guided_interval
    return [level for level in levels_asked(sampler) if interval is None or within(level, interval)]


def led_nowhere(sampler: SamplerSpec) -> bool:
    """Whether a sampler is to be guided between two noise levels, and asks no network there."""
    return sampler.guidance not in (0.0, 1.0) and not levels_guided(sampler)


def levels_visited(sampler: SamplerSpec) -> list[float]:
    """The noise levels at which a sampler asks for the clean image, in order: sigma, or the number of steps left.

    Heun's method looks twice a step, except in the last, which ends at sigma 0. Levels jumped over are not looked at.
    """
    if not isinstance(sampler, SigmaSamplerSpec):
        return [float(left) for left in range(sampler.steps, 0, -1)]
    sigmas = sampler_grid(sampler)
    if sampler.kind != "heun":
        return sigmas[: -sampler.jump_steps]
    steps = itertools.pairwise(sigmas)
    both = ((churned(sigma, sampler.churn, sampler.steps), following) for sigma, following in steps)
    return [level for pair in both for level in pair if level > 0.0]
