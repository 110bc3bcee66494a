"""Stage ``score``: CLIP scores of one variant's images."""

from flows.artifacts import show_csv
from flows.stage import call, main
from tasks.config import load_params
from tasks.paths import table_file


def score(variant: str) -> None:
    """Score a variant's images with CLIP.

    Args:
        variant: its name.
    """
    from tasks.score import score_task

    params = load_params()
    call(score_task, variant, params.scorer, params.evaluate, params.compute, params.seed)
    show_csv(f"clip-{variant}", table_file(f"clip_{variant}"), "CLIP scores per class, with intervals")


if __name__ == "__main__":
    main(score)
