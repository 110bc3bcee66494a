"""Stage ``fetch``: the raw archives, from a folder, a mirror or the project's own pencil."""

from flows.stage import call, main
from tasks.config import load_params


def fetch() -> None:
    """Bring the raw archives to data/raw, verified."""
    from tasks.fetch import fetch_task

    params = load_params()
    call(fetch_task, params.data, params.seed)


if __name__ == "__main__":
    main(fetch)
