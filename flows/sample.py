"""Stage ``sample``: the images of one variant, and some of their whole paths."""

from flows.stage import call, main
from tasks.config import load_params


def sample(variant: str) -> None:
    """Draw a variant's images.

    Args:
        variant: its name.
    """
    from tasks.sample import sample_task

    params = load_params()
    call(sample_task, variant, params.variants[variant], params.sample, params.compute, params.seed)


if __name__ == "__main__":
    main(sample)
