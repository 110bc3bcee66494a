"""Stage ``sweep``: one variant's quality against the number of evaluations, sampler by sampler."""

from flows.stage import call, main
from tasks.config import load_params


def sweep(variant: str) -> None:
    """Draw a variant's images by other samplers and with fewer steps.

    Args:
        variant: its name.
    """
    from tasks.sweep import sweep_task

    params = load_params()
    spec = params.variants[variant]
    call(sweep_task, variant, spec, params.sweep, params.sample.batch, params.evaluate, params.compute, params.seed)


if __name__ == "__main__":
    main(sweep)
