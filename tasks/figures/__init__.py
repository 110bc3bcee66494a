"""The report's figures: one module a figure, all in one style, the same bytes from the same measurements."""

from tasks.figures.run import figures_task, run_figures

__all__ = ["figures_task", "run_figures"]
