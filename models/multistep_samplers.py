"""Samplers that remember: one evaluation a step, and a higher order from those of earlier steps.

They follow the probability-flow ODE over sigma, like ``models/heun.py``. With no signal scaling (alpha = 1)
and lambda = -ln(sigma), a step has length h = ln(sigma / following), and exp(-h) is following / sigma. The first steps
have little to remember and the last ones little use for it, since the step to sigma 0 has infinite h and ends in D: the
order rises from 1 and falls to 1. All are deterministic. Shapes: B images (B, 1, H, W).

Guidance on an interval of noise levels changes the model on the way. To draw a curve through the answers of two models
would take the step between them for a slope, and exaggerate it. So what is looked back at is what the model of now
would have answered then: its own part is known at all levels, and what guidance adds at those where it acted; from
beyond an end of the interval it is taken to have been what it is now. Slopes, which depend on the path that led to
them, cannot be told anew; those from beyond an end are forgotten.

What a prior answers alone where the noise is strong is looked back at like any answer: it is the same mean of the clean
images that the network tells below, and to forget it is far worse (docs/adr/0011).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.diffusion import SampleStep
from models.predictions import PredictInParts

ADAMS_BASHFORTH = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}
"""What the newest slopes count for, newest first, by their number."""

UNIPC_ORDER = 3
"""How many evaluations a prediction of UniPC uses at most."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model makes of images at a noise level.

    Attributes:
        sigma: the noise level.
        x: the images at it.
        x0: D(x; sigma).
    """

    sigma: float
    x: Tensor
    x0: Tensor

    @property
    def slope(self) -> Tensor:
        """Dx / dsigma."""
        return (self.x - self.x0) / self.sigma


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a look at images showed.

    Attributes:
        sigma: the noise level.
        x: the images at it.
        unled: D(x; sigma) without guidance.
        nudge: what guidance adds to it; None where it does not act.
    """

    sigma: float
    x: Tensor
    unled: Tensor
    nudge: Tensor | None

    def as_at(self, other: "Evaluation") -> Seen:
        """What the model that is guided as at another level makes of the same images."""
        if other.nudge is None:
            return Seen(self.sigma, self.x, self.unled)
        return Seen(self.sigma, self.x, self.unled + (other.nudge if self.nudge is None else self.nudge))


Advance = Callable[[list[Seen], float], Tensor]
"""(evaluations, newest first; the following sigma) -> x there. Of as many evaluations as given, so high an order."""


Recall = Callable[[list[Evaluation]], list[Seen]]
"""Evaluations, newest first -> what the newest one's model may look back at."""


def told_anew(made: list[Evaluation]) -> list[Seen]:
    """All of them, as the newest one's model would have answered."""
    return [past.as_at(made[0]) for past in made]


def of_one_model(made: list[Evaluation]) -> list[Seen]:
    """The newest ones that are guided, or not guided, as the newest one is."""
    alike = itertools.takewhile(lambda past: (past.nudge is None) == (made[0].nudge is None), made)
    return [past.as_at(past) for past in alike]


def multistep(
    look: PredictInParts, sigmas: Sequence[float], x: Tensor, advance: Advance, order: int, recall: Recall = told_anew
) -> Iterator[SampleStep]:
    """Follow the ODE by steps that look back.

    Args:
        look: D, told sigma, and what guidance adds to it.
        sigmas: falling levels that end with 0, one more than steps.
        x: the start, noisy images at ``sigmas[0]``.
        advance: the step.
        order: how many evaluations it is given at most.
        recall: what it is given of them.
    """
    total = len(sigmas) - 1
    made: list[Evaluation] = []
    for index, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        now = Evaluation(sigma, x, *look(x, sigma))
        made = [now, *made][: min(order, total - index)]
        seen = recall(made)
        yield SampleStep(index, total, sigma, x, seen[0].x0)
        x = advance(seen, following)
    yield SampleStep(total, total, 0.0, x, x)


def dpmpp_2m(look: PredictInParts, sigmas: Sequence[float], x: Tensor) -> Iterator[SampleStep]:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); arguments as for :func:`multistep`."""
    return multistep(look, sigmas, x, advance_dpmpp, 2)


def dpmpp_3m(look: PredictInParts, sigmas: Sequence[float], x: Tensor) -> Iterator[SampleStep]:
    """DPM-Solver++(3M), which looks back one step more; arguments as for :func:`multistep`, order in its step."""
    return multistep(look, sigmas, x, advance_dpmpp, 3)


def ipndm(look: PredictInParts, sigmas: Sequence[float], x: Tensor) -> Iterator[SampleStep]:
    """IPNDM (Zhang and Chen 2023, appendix B.2): Adams-Bashforth on the slopes; arguments as for :func:`multistep`."""
    return multistep(look, sigmas, x, advance_ipndm, len(ADAMS_BASHFORTH), of_one_model)


def unipc(look: PredictInParts, sigmas: Sequence[float], x: Tensor) -> Iterator[SampleStep]:
    """UniPC (Zhao et al. 2023, algorithms 1 and 2, with B(h) = e^h - 1 and predictions of x0).

    Each evaluation serves twice: to correct the step that led to it, and to predict the next one.

    Args:
        look: D, told sigma, and what guidance adds to it.
        sigmas: falling levels that end with 0, one more than steps.
        x: the start, noisy images at ``sigmas[0]``.
    """
    total = len(sigmas) - 1
    made: list[Evaluation] = []
    for index, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        now = Evaluation(sigma, x, *look(x, sigma))
        if made:  # the step is corrected as it was begun
            x = advance_unipc(told_anew(made), sigma, now.as_at(made[0]).x0)
            now = replace(now, x=x)
        made = [now, *made][: min(UNIPC_ORDER, total - index)]
        seen = told_anew(made)
        yield SampleStep(index, total, sigma, x, seen[0].x0)
        x = advance_unipc(seen, following)
    yield SampleStep(total, total, 0.0, x, x)


def advance_dpmpp(seen: list[Seen], following: float) -> Tensor:
    """A step of DPM-Solver++ from one, two or three evaluations (Lu et al. 2022, equation 4.3 and algorithm 2).

    From two, with h_1 the length of the step before:

        x' = exp(-h) * x + (1 - exp(-h)) * (D_0 + h / (2 * h_1) * (D_0 - D_1))

    From three it is the form that the authors' code and diffusers share: exact where D is linear in lambda, while the
    curvature of D counts for half of what it does, so its order is still the second; UniPC's is the third.
    """
    now = seen[0]
    decay = following / now.sigma
    if len(seen) == 1:
        return decay * now.x + (1.0 - decay) * now.x0
    h = math.log(now.sigma / following)
    steps = list(itertools.pairwise(seen))
    lengths = [math.log(older.sigma / newer.sigma) / h for newer, older in steps]
    slopes = [(newer.x0 - older.x0) / r for (newer, older), r in zip(steps, lengths, strict=True)]
    if len(seen) == 2:
        return decay * now.x + (1.0 - decay) * (now.x0 + 0.5 * slopes[0])
    bend = (slopes[0] - slopes[1]) / (lengths[0] + lengths[1])
    first, second = 1.0 - (1.0 - decay) / h, 0.5 - (decay - 1.0 + h) / h**2
    return decay * now.x + (1.0 - decay) * now.x0 + first * (slopes[0] + lengths[0] * bend) + second * bend


def advance_ipndm(seen: list[Seen], following: float) -> Tensor:
    """A step of Adams and Bashforth with as many slopes as there are, as if all steps had been equally long."""
    slope = torch.zeros_like(seen[0].x)
    for share, past in zip(ADAMS_BASHFORTH[len(seen)], seen, strict=True):
        slope = slope + share * past.slope
    return seen[0].x + (following - seen[0].sigma) * slope


def advance_unipc(seen: list[Seen], following: float, newest: Tensor | None = None) -> Tensor:
    """UniP, or with the evaluation at ``following`` UniC (Zhao et al. 2023, equations 3 and 9 for predictions of x0).

    Args:
        seen: evaluations, newest first.
        following: the sigma to go to.
        newest: D at it, if it is there that the step is to be corrected.
    """
    now = seen[0]
    decay, target = following / now.sigma, now.x0
    if len(seen) > 1 or newest is not None:
        h = math.log(now.sigma / following)
        ratios = [math.log(now.sigma / past.sigma) / h for past in seen[1:]]
        slopes = [(past.x0 - now.x0) / r for past, r in zip(seen[1:], ratios, strict=True)]
        if newest is not None:
            ratios, slopes = [*ratios, 1.0], [*slopes, newest - now.x0]
        for share, slope in zip(unified_weights(ratios, h), slopes, strict=True):
            target = target + share * slope
    return decay * now.x + (1.0 - decay) * target


def unified_weights(ratios: list[float], h: float) -> list[float]:
    """How much each difference quotient counts in UniPC (Zhao et al. 2023, theorem 3.1), for B(h) = e^h - 1.

    Args:
        ratios: where the other evaluations lie, in steps from the newest: below 0 in the past, 1 at the end.
        h: length of the step.
    """
    if len(ratios) == 1:
        return [0.5]  # of the same order whatever h is (appendix D.2)
    count, phi = len(ratios), math.expm1(-h) / -h - 1.0
    wanted = []
    for k in range(1, count + 1):
        wanted.append(phi * math.factorial(k) / math.expm1(-h))
        phi = phi / -h - 1.0 / math.factorial(k + 1)
    powers = torch.tensor([[r**k for r in ratios] for k in range(count)], dtype=torch.float64)
    weights: list[float] = torch.linalg.solve(powers, torch.tensor(wanted, dtype=torch.float64)).tolist()
    return weights
