"""Stage ``train``: one variant, from noise to a model."""

from contextlib import closing

from flows.stage import call, main
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


if __name__ == "__main__":
    main(train)
