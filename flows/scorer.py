"""Stage ``scorer``: CLIP, loaded or fitted, and its test on real images."""

from flows.artifacts import show_metrics
from flows.stage import call, main
from tasks.config import load_params
from tasks.paths import metrics_file


def scorer() -> None:
    """Make the CLIP scorer ready and put it to its test."""
    from tasks.scorer import scorer_task

    params = load_params()
    call(scorer_task, params.scorer, params.evaluate, params.compute, params.seed)
    show_metrics("scorer", metrics_file("scorer"), "The CLIP scorer on real test images")


if __name__ == "__main__":
    main(scorer)
