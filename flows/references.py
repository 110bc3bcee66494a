"""Stage ``references``: what the judges say of real, blurred, noised and mislabelled images."""

from flows.stage import call, main
from tasks.config import load_params


def references() -> None:
    """Judge the reference rows beside which every variant stands."""
    from tasks.references import references_task

    params = load_params()
    call(references_task, params.scorer, params.sample, params.evaluate, params.compute, params.seed)


if __name__ == "__main__":
    main(references)
