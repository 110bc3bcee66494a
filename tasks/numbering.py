"""Numbers of figures and tables, the same in every output format, and references to them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tasks.files import require_file
from tasks.wording import Markdown, escape

LONG_ROWS, LONG_TEXT = 20, 2500
"""A table of more rows or characters may be broken over pages."""

CONTINUED = "The same of further models."


class Numbering:
    """Counts figures and tables in the order in which a template asks for them.

    A reference may precede its figure, so the template is rendered twice, with :meth:`restart` in between.

    Args:
        folder: where the figures lie, relative to the workspace.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, str], int] = {}
        self._counts = {"Figure": 0, "Table": 0}

    def restart(self) -> None:
        """Begin counting again, remembering the numbers that were given."""
        self._counts = dict.fromkeys(self._counts, 0)

    def figure(self, name: str, description: str, caller: Callable[[], str]) -> Markdown:
        """A numbered figure whose caption is the body of the template's call.

        Args:
            name: file name; a plot, which exists as SVG and PNG, is named without an ending.
            description: what it shows, for readers who cannot see it; plain words, no quotation marks.
            caller: gives the caption.

        Raises:
            MissingResourceError: there is no such figure.
        """
        known = name.removesuffix(".png")
        for ending in ("png",) if name != known else ("svg", "png"):
            require_file(self._folder / f"{known}.{ending}")
        caption = self._caption("Figure", known, caller)
        return Markdown(f'\n![{caption}]({self._folder / name}){{alt="{description}" width=100%}}\n\n')

    def panels(self, names: Sequence[str], description: str, caller: Callable[[], str]) -> Markdown:
        """The pages of a plot with a panel for each model: the first has the caption, the others refer to it.

        Args:
            names: of the pages, see :meth:`figure`, as are the others.
            description: what each shows.
            caller: gives the caption.
        """
        first, *others = names
        pages = [self.figure(first, description, caller)]
        pages += [self.figure(name, description, lambda: CONTINUED) for name in others]
        return Markdown("".join(pages))

    def table(self, name: str, body: Markdown, caller: Callable[[], str]) -> Markdown:
        """A numbered table whose caption is the body of the template's call."""
        caption = self._caption("Table", name, caller)
        long = body.count("\n") > LONG_ROWS or len(body) > LONG_TEXT
        return Markdown(f"\n::: {{.table{' .long' if long else ''}}}\n{body}\n\n: {caption}\n:::\n\n")

    def ref(self, name: str, kind: str = "Figure") -> Markdown:
        """``Figure 3``: the number of a figure or table, which may come later."""
        return Markdown(f"{kind}\\ {self._known.get((kind, name), '?')}")

    def _caption(self, kind: str, name: str, caller: Callable[[], str]) -> str:
        self._counts[kind] += 1
        self._known[kind, name] = self._counts[kind]
        text = str(caller()).replace("\n", " ").strip()
        return f"**{escape(f'{kind} {self._counts[kind]}.')}** {text}"
