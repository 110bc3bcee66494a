"""Stage ``figures``: every figure and table of the report."""

from flows.stage import call, main
from tasks.config import load_params


def figures() -> None:
    """Draw the figures and tables."""
    from tasks.figures import figures_task

    params = load_params()
    call(figures_task, params.variants, params.evaluate, params.seed)


if __name__ == "__main__":
    main(figures)
