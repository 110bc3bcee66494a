"""The report: measurements and their reading, set in one Markdown source and rendered as HTML, PDF and DOCX."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from prefect import task
from prefect.cache_policies import NO_CACHE

from models.spec import DdpmSpec, EdmSpec
from tasks import class_findings, findings, report_tables, wording
from tasks.config import Params, Report, Variant, load_params
from tasks.documents import FOLDER, Documents
from tasks.evidence import Evidence, Judged, interval, read_evidence
from tasks.files import read_table, require_file
from tasks.noise_left import audit_of
from tasks.numbering import Numbering
from tasks.paths import FIGURES, REPORTS, table_file
from tasks.recognition import settling_points
from tasks.verdicts import VERDICTS, Finding
from tasks.wording import Markdown, escape

DRAWN = "Drawn garments: a demonstration, not Fashion-MNIST"


def run_report(report: Report, variants: Mapping[str, Variant]) -> dict[str, Any]:
    """Write ``report.html``, ``report.pdf`` and ``report.docx``.

    Judges, prompts and seed are described as ``params.yaml`` has them.

    Args:
        report: title, author and what the build leaves out.
        variants: the build's variants by name.

    Returns:
        The number of claims by verdict.

    Raises:
        MissingResourceError: a stage has not run.
        IntegrityError: one of its files is damaged.
    """
    evidence = read_evidence(variants)
    recognition = read_table(table_file("recognition"))
    params = load_params()
    claims = findings.findings(evidence, recognition, params.evaluate.confidence)
    markdown = report_markdown(evidence, recognition, claims, report, params)
    documents = Documents(
        markdown, escape(report.title), escape(report.author), escape(DRAWN if evidence.drawn else "")
    )
    documents.write_html(REPORTS / "report.html")
    documents.write_docx(REPORTS / "report.docx")
    documents.write_pdf(REPORTS / "report.pdf")
    return {"verdicts": dict(sorted(Counter(claim.verdict for claim in claims).items()))}


def report_markdown(
    evidence: Evidence, recognition: pd.DataFrame, claims: list[Finding], report: Report, params: Params
) -> str:
    """The report's one source.

    It is rendered twice: the first time tells which number each figure and table gets, the second writes references.
    """
    content = {
        **_tools(),
        **_facts(evidence, recognition, params),
        "e": evidence,
        "report": report,
        "claims": claims,
        "tally": tally(claims),
        "section": _sections(evidence.drawn),
    }
    template = report_template()
    numbering = Numbering(FIGURES)
    for _ in range(2):
        numbering.restart()
        rendered = template.render(
            {**content, "figure": numbering.figure, "table": numbering.table, "ref": numbering.ref}
        )
    return rendered


def report_template() -> Template:
    """The template, in an environment that escapes everything which is not Markdown already."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        finalize=escape,
        autoescape=False,  # noqa: S701 - that is HTML's escaping; Markdown's is `finalize`
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.md.j2")


def tally(claims: list[Finding]) -> Markdown:
    """How many of the source's claims met which verdict, in words."""
    counts = Counter(claim.verdict for claim in claims)
    parts = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    return escape(f"Of {len(claims)} claims of the source: {wording.listed(parts)}.")


def _sections(drawn: bool) -> Callable[..., Markdown]:
    def section(title: str, numbered: bool = True) -> Markdown:
        heading = f"# {escape(title)}{'' if numbered else ' {-}'}"
        return Markdown(f"{heading}\n\n::: drawn\n{escape(DRAWN)}\n:::" if drawn else heading)

    return section


def _tools() -> dict[str, Any]:
    names = ("count", "tex", "number", "percent", "percent_interval", "listed")
    tables = (name for name in vars(report_tables) if name.endswith("_table"))
    return {
        **{name: getattr(wording, name) for name in names},
        **{name: getattr(report_tables, name) for name in tables},
        "verdict_mark": report_tables.verdict_mark,
        "interval": interval,
        "pages": pages,
    }


def pages(name: str) -> list[str]:
    """The figures ``<name>-1``, ``<name>-2``, ... that exist.

    Raises:
        MissingResourceError: there is not even the first.
    """
    require_file(FIGURES / f"{name}-1.png")
    numbers = sorted(int(path.stem.removeprefix(f"{name}-")) for path in FIGURES.glob(f"{name}-*.png"))
    return [f"{name}-{page}" for page in numbers]


def _facts(evidence: Evidence, recognition: pd.DataFrame, params: Params) -> dict[str, Any]:
    source, reverse = evidence.source_variant(), recognition[recognition["along"] == "reverse"]
    process = source.spec.process if source else None
    paths = int(reverse.groupby(["variant", "position"]).size().min())
    scorer, evaluate = params.scorer, params.evaluate

    def extremes(row: Judged, judge: class_findings.Judge) -> Markdown:
        return class_findings.extremes(row, judge, evaluate.confidence)

    def prompt(kind: str) -> str:
        return str(getattr(scorer, f"{kind}_prompt")).format(scorer.class_words[0])

    def settling(name: str) -> str:
        return findings.settling_text(settling_points(reverse[reverse["variant"] == name]), evaluate.confidence)

    return {
        "source": source,
        "left": audit_of(process, evidence.prepare["pixel_mean"]) if isinstance(process, DdpmSpec) else None,
        "continuous": [v.spec.title for v in evidence.variants if isinstance(v.spec.process, EdmSpec)],
        "paths": paths,
        "worst_case": f"{100 / math.sqrt(paths):.0f}",
        "per_class": evidence.references["num_images"] // 10,
        "prompt": prompt,
        "extremes": extremes,
        "ranking": class_findings.ranking_text(evidence, evaluate.confidence),
        "loss_quality": findings.loss_quality_finding(evidence, evaluate.confidence),
        "settling": settling,
        "confidence": f"{100 * evaluate.confidence:g}{wording.NBSP}%",
        "neighbours": evaluate.neighbours,
        "blur": f"{evaluate.reference_blur_sigma:g}",
        "noise": f"{evaluate.reference_noise_sigma:g}",
        "seed": params.seed,
        "gate_text": findings.gate_finding(evidence).text,
        "balance": class_findings.balance_finding(evidence),
    }


report_task = task(name="report", cache_policy=NO_CACHE)(run_report)
