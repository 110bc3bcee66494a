"""Stage ``prepare``: the archives as arrays, with a validation split cut from the training split."""

from flows.stage import call, main
from tasks.config import load_params


def prepare() -> None:
    """Cut the archives into training, validation and test arrays."""
    from tasks.prepare import prepare_task

    params = load_params()
    call(prepare_task, params.prepare, params.seed)


if __name__ == "__main__":
    main(prepare)
