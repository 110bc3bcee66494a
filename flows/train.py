"""Stage ``train``: one variant, from noise to a model."""

from contextlib import closing

from flows.stage import call, main
from tasks.config import load_params


def train(variant: str) -> None:
    """Train a variant, or resume it.

    Args:
        variant: its name.
    """
    from tasks.live_tracking import MlflowSink
    from tasks.train import train_task

    params = load_params()
    with closing(MlflowSink(variant)) as sink:  # its thread must end with the stage, however early that fails
        call(train_task, variant, params.variants[variant], params.compute, params.seed, sink)


if __name__ == "__main__":
    main(train)
