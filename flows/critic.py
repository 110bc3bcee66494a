"""Stage ``critic``: the independent judge, a classifier of real garments."""

from flows.artifacts import show_metrics
from flows.stage import call, main
from tasks.config import load_params
from tasks.paths import metrics_file


def critic() -> None:
    """Fit and test the critic."""
    from tasks.critic import critic_task

    params = load_params()
    call(critic_task, params.critic, params.evaluate, params.compute, params.seed)
    show_metrics("critic", metrics_file("critic"), "The critic on real test images")


if __name__ == "__main__":
    main(critic)
