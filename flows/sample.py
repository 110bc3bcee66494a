"""Stage ``sample``: the images of one variant, some of their whole paths, and what its snapshots made of them."""

from flows.stage import call, main
from tasks.config import load_params


def sample(variant: str) -> None:
    """Draw a variant's images.

    Args:
        variant: its name.
    """
    from tasks.progress_grids import progress_grids_task
    from tasks.sample import sample_task

    params = load_params()
    spec = params.variants[variant]
    call(progress_grids_task, variant, spec, params.compute, params.seed)
    # Last, since it writes the metrics, by which the stage's record is known to be complete
    call(sample_task, variant, spec, params.sample, params.compute, params.seed)


if __name__ == "__main__":
    main(sample)
