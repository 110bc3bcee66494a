"""Plots that go over several pages: each is numbered, and the first alone has the caption."""

from pathlib import Path

import pytest

from tasks.errors import MissingResourceError
from tasks.numbering import CONTINUED, Numbering


def test_pages_of_a_plot_are_figures_of_which_the_first_has_the_caption(tmp_path: Path) -> None:
    for name in ("losses-1", "losses-2"):
        for ending in ("svg", "png"):
            (tmp_path / f"{name}.{ending}").touch()
    numbering = Numbering(tmp_path)
    text = numbering.panels(["losses-1", "losses-2"], "Losses", lambda: "What they show.").replace("\\", "")
    assert text.count("What they show.") == 1
    assert text.index("**Figure 1.** What they show.") < text.index(f"**Figure 2.** {CONTINUED}")
    assert numbering.ref("losses-2") == "Figure\\ 2"
    with pytest.raises(MissingResourceError, match="losses-3"):
        numbering.panels(["losses-1", "losses-3"], "Losses", lambda: "What they show.")
