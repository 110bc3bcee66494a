"""Stage ``evaluate``: the critic's judgement of one variant's images."""

from flows.artifacts import show_metrics
from flows.stage import call, main
from tasks.config import load_params
from tasks.paths import metrics_file


def evaluate(variant: str) -> None:
    """Judge a variant's images by the critic.

    Args:
        variant: its name.
    """
    from tasks.evaluate import evaluate_task

    params = load_params()
    call(evaluate_task, variant, params.evaluate, params.compute, params.seed)
    show_metrics(f"critic-{variant}", metrics_file("evaluate", variant), "The critic's judgement of the images")


if __name__ == "__main__":
    main(evaluate)
