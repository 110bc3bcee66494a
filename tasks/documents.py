"""One Markdown source into HTML, DOCX and PDF, the same bytes from the same source and files."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pypandoc
import typst

from tasks.errors import IntegrityError
from tasks.files import write_atomically, write_bytes

FOLDER = Path(__file__).resolve().parents[1] / "report"
READER = "markdown-raw_html-raw_tex-raw_attribute-citations"
"""Pandoc's Markdown without the ways in which text could become code of an output format."""
EPOCH = "946684800"
"""The time stamped into every document, in seconds since 1970: 1 January 2000."""
RELATIVE_WIDTHS = "--columns=20"
"""Lines longer than this make pandoc take a table's column widths from the lengths of its rules."""


class Documents:
    """Renders one Markdown source.

    Args:
        markdown: the source; its pictures are named by relative paths without an ending where several exist.
        title: already escaped Markdown.
        author: already escaped Markdown; may be empty.
        mark: a line that every page must show, already escaped Markdown; empty for none.
    """

    def __init__(self, markdown: str, title: str, author: str, mark: str) -> None:
        metadata = {"title": title, "pagetitle": title, "author": author, "mark": mark, "lang": "en"}
        head = json.dumps({key: value for key, value in metadata.items() if value})
        self._source = f"---\n{head}\n---\n\n{markdown}"  # JSON is YAML, and its quoting needs no second escaping

    def write_html(self, path: Path) -> None:
        """Write one self-contained page: style, pictures and formulas inside, nothing to load."""
        options = ["--to=html5", "--mathml", "--embed-resources", "--toc", "--toc-depth=2", "--number-sections"]
        options += [f"--template={FOLDER / 'page.html'}", f"--css={FOLDER / 'theme.css'}"]
        self._write(path, [*options, "--default-image-extension=svg"])

    def write_docx(self, path: Path) -> None:
        """Write a word-processor document, with PNG pictures."""
        self._write(path, ["--to=docx", "--number-sections", "--default-image-extension=png"])

    def write_pdf(self, path: Path) -> None:
        """Write a PDF by typst, with typst's own fonts alone, so that every machine sets the same page."""
        source: Any = self.typst_source().encode()
        try:
            pdf = typst.compile(source, root=".", font_paths=[], ignore_system_fonts=True, timestamp=int(EPOCH))
        except typst.TypstError as error:
            raise _failure("typst", str(error)) from error
        write_bytes(path, pdf)

    def typst_source(self) -> str:
        """The document as typst code."""
        options = ["--to=typst", "--number-sections", "--default-image-extension=svg"]
        options += [f"--template={FOLDER / 'template.typ'}", f"--lua-filter={FOLDER / 'typst.lua'}"]
        return self._pandoc([*options, "--output=-"])

    def _write(self, path: Path, options: list[str]) -> None:
        write_atomically(path, lambda temporary: self._fill(temporary, options))

    def _fill(self, path: Path, options: list[str]) -> None:
        self._pandoc([*options, f"--output={path}"])

    def _pandoc(self, options: list[str]) -> str:
        """Run pandoc on the source and return what it prints.

        Raises:
            IntegrityError: a picture is missing or the source cannot be converted.
        """
        command = [pypandoc.get_pandoc_path(), f"--from={READER}", "--standalone", "--wrap=none", "--fail-if-warnings"]
        command += [RELATIVE_WIDTHS, *options]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            command, input=self._source, capture_output=True, text=True, encoding="utf-8", env=environment, check=False
        )
        if done.returncode:
            raise _failure("pandoc", done.stderr)
        return done.stdout


def _failure(program: str, complaint: str) -> IntegrityError:
    remedy = "rerun the figures stage; if that does not help, correct report/report.md.j2"
    return IntegrityError(
        "report", f"{program} failed ({complaint.strip()[-300:]})", "a report without warnings", remedy
    )
