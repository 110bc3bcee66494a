"""Stage ``report``: the report as HTML, PDF and DOCX."""

from flows.artifacts import show_markdown
from flows.stage import call, main
from tasks.config import load_params
from tasks.paths import REPORTS


def report() -> None:
    """Build the report."""
    from tasks.report import report_task

    params = load_params()
    call(report_task, params.report, params.variants, params.scorer, params.evaluate, params.seed)
    show_markdown("report", f"The report: `{(REPORTS / 'report.html').resolve()}`", "Where the report lies")


if __name__ == "__main__":
    main(report)
