"""Stage ``train``: one variant, from noise to a model."""

import os
import sys
from contextlib import closing

from flows.environment import die_with_parent, prepare_environment
from flows.stage import call, guarded, main, options
from tasks.config import load_params


def train(variant: str) -> None:
    """Train a variant, or resume it, or take over the same training of another variant.

    Args:
        variant: its name.
    """
    from tasks.live_tracking import MlflowSink
    from tasks.train import train_task

    params = load_params()
    others = [name for name in params.variants if name != variant]
    with closing(MlflowSink(variant)) as sink:  # its thread must end with the stage, however early that fails
        call(train_task, variant, params.variants[variant], params.compute, params.seed, sink, others)


def assist() -> None:
    """Do a share of each step of a training that the first process of ``torchrun`` leads and records."""
    variant, params = options(train).variant, load_params()
    spec = params.variant(variant)
    prepare_environment()
    die_with_parent()
    from tasks.train import assist_training

    assist_training(variant, spec, params.compute, params.seed)


if __name__ == "__main__":
    if int(os.environ.get("RANK", "0")) > 0:
        sys.exit(guarded(assist, "--debug" in sys.argv[1:]))
    main(train)
