"""A critic small enough to fit in a test, and how it is asked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.config import PARAMS, load_params
from tasks.critic import run_critic
from tasks.params import Critic, Evaluate
from tests.tasks.small_variants import CPU, SEED

ROOT = Path(__file__).parents[2]
CRITIC = Critic(channels=(8, 8, 16), features=16, steps=60, batch=50, lr=0.01, weight_decay=0.01, dropout=0.1)
EVALUATE: Evaluate = replace(
    load_params(ROOT / PARAMS).evaluate,
    neighbours=3,
    bootstrap=100,
    reference_blur_sigma=1.5,
    reference_noise_sigma=0.4,
)


def fit_small_critic(**changes: Any) -> dict[str, Any]:
    """Fit a critic on the prepared data of the working folder and return its metrics."""
    return run_critic(replace(CRITIC, **changes), EVALUATE, CPU, SEED)
