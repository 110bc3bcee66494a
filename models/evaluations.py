"""What a sampler costs: how often a network looks at each image on its way from noise to picture."""

import itertools

from models.guidance import within
from models.sigma_samplers import churned, sigma_grid
from models.spec import SamplerSpec, SigmaSamplerSpec


def evaluations(sampler: SamplerSpec) -> int:
    """Evaluations of a network per image: one at each noise level visited, two where guidance acts."""
    visited = levels_visited(sampler)
    if sampler.guidance in (0.0, 1.0):
        return len(visited)
    interval = sampler.guided_interval
    return len(visited) + sum(interval is None or within(level, interval) for level in visited)


def levels_visited(sampler: SamplerSpec) -> list[float]:
    """The noise levels at which a sampler has the network look, in order: sigma, or the number of steps left.

    Heun's method looks twice a step, except in the last, which ends at sigma 0.
    """
    if not isinstance(sampler, SigmaSamplerSpec):
        return [float(left) for left in range(sampler.steps, 0, -1)]
    sigmas: list[float] = sigma_grid(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho).tolist()
    if sampler.kind != "heun":
        return sigmas[:-1]
    steps = itertools.pairwise(sigmas)
    both = ((churned(sigma, sampler.churn, sampler.steps), following) for sigma, following in steps)
    return [level for pair in both for level in pair if level > 0.0]
