"""The report: measurements and their reading, set in one Markdown source and rendered as HTML, PDF and DOCX."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from prefect import task
from prefect.cache_policies import NO_CACHE

from models.evaluations import levels_visited
from models.intervals import wilson
from models.sampler_spec import SigmaSamplerSpec
from models.spec import DdpmSpec, EdmSpec
from tasks import class_findings, findings, model_findings, report_tables, wording
from tasks.alike import mixture_text
from tasks.brightness_findings import brightness_rows
from tasks.clip_findings import gate_finding
from tasks.documents import FOLDER, Documents
from tasks.evidence import Evidence, VariantEvidence, interval, read_evidence
from tasks.experiments import asked, experiment_text
from tasks.files import read_table, require_file
from tasks.gate import box_blur_note, with_gate
from tasks.guidance_findings import drawn_otherwise, guidance_table, guidance_text
from tasks.labels import NUM_CLASSES
from tasks.memorisation_findings import memorisation_table, memorisation_text
from tasks.noise_left import audit_of
from tasks.numbering import Numbering
from tasks.pairing import Pairs, read_pairs
from tasks.params import Evaluate, Report, Scorer
from tasks.paths import FIGURES, REPORTS, table_file
from tasks.questions import left_open, tried
from tasks.settings_tables import differences_table, settings_table, told_in_full
from tasks.settling import looks_text, reverse_rows, settling_text
from tasks.side_by_side import measured_otherwise, side_by_side
from tasks.sweep_findings import sweep_table, sweep_text
from tasks.training_findings import head_start_text
from tasks.variants import Variant
from tasks.verdicts import VERDICTS, Finding
from tasks.wording import Markdown, escape

DRAWN = "Drawn garments: a demonstration, not Fashion-MNIST"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the report says of itself and of how things were measured.

    Attributes:
        report: title, author, and the gate that CLIP must pass.
        scorer: CLIP and its prompts.
        evaluate: how the judges' figures and their intervals were computed.
        seed: the user's seed.
    """

    report: Report
    scorer: Scorer
    evaluate: Evaluate
    seed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that the report reads.

    Attributes:
        evidence: the metrics of every stage.
        recognition: see :func:`tasks.recognition.recognition_table`.
        brightness: see :func:`tasks.brightness.brightness_table`.
        pairs: the models compared with each other.
        claims: what became of the source's claims.
    """

    evidence: Evidence
    recognition: pd.DataFrame
    brightness: pd.DataFrame
    pairs: Pairs
    claims: list[Finding]


def run_report(
    report: Report, variants: Mapping[str, Variant], scorer: Scorer, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Write ``report.html``, ``report.pdf`` and ``report.docx``.

    Args:
        report: title, author, and the gate that CLIP must pass.
        variants: the build's variants by name.
        scorer: CLIP's prompts.
        evaluate: how the judges' figures were computed.
        seed: the user's seed.

    Returns:
        The number of claims by verdict.

    Raises:
        MissingResourceError: a stage has not run.
        IntegrityError: one of its files is damaged.
    """
    settings = Settings(report, scorer, evaluate, seed)
    measured = read_measurements(variants, settings)
    markdown, mark = report_markdown(measured, settings), DRAWN if measured.evidence.drawn else ""
    documents = Documents(markdown, escape(report.title), escape(report.author), escape(mark))
    documents.write_html(REPORTS / "report.html")
    documents.write_docx(REPORTS / "report.docx")
    documents.write_pdf(REPORTS / "report.pdf")
    return {"verdicts": dict(sorted(Counter(claim.verdict for claim in measured.claims).items()))}


def read_measurements(variants: Mapping[str, Variant], settings: Settings) -> Measured:
    """Read what the stages before this one measured, and see what it says of the source's claims.

    Raises:
        MissingResourceError: a stage has not run.
        IntegrityError: one of its files is damaged.
    """
    evidence = with_gate(read_evidence(variants), settings.report.gate)
    names = ("recognition", "agreement", "brightness")
    recognition, agreement, brightness = (read_table(table_file(name)) for name in names)
    claims = findings.findings(evidence, recognition, agreement, settings.evaluate.confidence)
    return Measured(evidence, recognition, brightness, read_pairs(asked(evidence)), claims)


def report_markdown(measured: Measured, settings: Settings) -> str:
    """The report's one source.

    It is rendered twice: the first time tells which number each figure and table gets, the second writes references.
    """
    content = {
        **_tools(),
        **_facts(measured.evidence, settings),
        **_open_questions(measured),
        **_readings(measured, settings.evaluate.confidence),
        "e": measured.evidence,
        "claims": measured.claims,
        "tally": tally(measured.claims),
        "section": _sections(measured.evidence.drawn),
    }
    template = report_template()
    numbering = Numbering(FIGURES)
    for _ in range(2):
        numbering.restart()
        rendered = template.render(
            {**content, **{name: getattr(numbering, name) for name in ("figure", "panels", "table", "ref")}}
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
    names = ("count", "tex", "number", "level", "percent", "percent_interval", "listed")
    tables = (name for name in vars(report_tables) if name.endswith(("_table", "_tables")))
    return {
        **{name: getattr(wording, name) for name in names},
        **{name: getattr(report_tables, name) for name in tables},
        "verdict_mark": report_tables.verdict_mark,
        "interval": interval,
        "pages": pages,
    }


def pages(name: str, ending: str = "") -> list[str]:
    """The figures ``<name>-1``, ``<name>-2``, ... that exist, as the template names them.

    Args:
        name: of all of them.
        ending: ``.png`` for pictures; plots are named without.

    Raises:
        MissingResourceError: there is not even the first.
    """
    require_file(FIGURES / f"{name}-1.png")
    numbers = sorted(int(path.stem.removeprefix(f"{name}-")) for path in FIGURES.glob(f"{name}-*.png"))
    return [f"{name}-{page}{ending}" for page in numbers]


def _facts(evidence: Evidence, settings: Settings) -> dict[str, Any]:
    """What the report says of the models and of how they were judged."""
    source, scorer, evaluate = evidence.source_variant(), settings.scorer, settings.evaluate
    process = source.spec.process if source else None

    def prompt(kind: str) -> str:
        return str(getattr(scorer, f"{kind}_prompt")).format(scorer.class_words[0])

    return {
        "source": source,
        "left": audit_of(process, evidence.prepare["pixel_mean"]) if isinstance(process, DdpmSpec) else None,
        "told_in_full": told_in_full,
        "settings_table": settings_table,
        "differences": differences_table(evidence),
        "continuous": [v.spec.title for v in evidence.variants if isinstance(v.spec.process, EdmSpec)],
        "mixture_models": [variant for variant in evidence.variants if variant.mends_mixture],
        "led_by_early": [variant for variant in evidence.variants if variant.spec.sampling.guide == "early"],
        "prior_starts": [v for v in evidence.variants if v.spec.sampling.start == "prior"],
        "taught": [variant for variant in evidence.variants if variant.jumps],
        "jump_level": jump_level,
        "mixture": mixture_text(evidence),
        "names": {variant.name for variant in evidence.variants},
        "num_classes": NUM_CLASSES,
        "row_images": row_images(evidence),
        "class_images": class_images(evidence),
        "box_blur_note": box_blur_note(evidence.scorer, scorer.blur_sigma),
        "prompt": prompt,
        "confidence": wording.level(evaluate.confidence),
        "alpha": f"{1 - evaluate.confidence:.2g}",
        "neighbours": evaluate.neighbours,
        "blur": f"{evaluate.reference_blur_sigma:g}",
        "noise": f"{evaluate.reference_noise_sigma:g}",
        "seed": settings.seed,
    }


def jump_level(variant: VariantEvidence) -> str:
    """From which noise level on a model takes all steps of its sampler at once; empty where it has no such level."""
    sampling = variant.spec.sampling
    return f"{levels_visited(sampling)[-1]:.2g}" if isinstance(sampling, SigmaSamplerSpec) else ""


def _open_questions(measured: Measured) -> dict[str, Any]:
    questions = left_open(measured.evidence, measured.claims)
    return {"left_open": questions, "unanswered": {question.key for question in questions}}


def row_images(evidence: Evidence) -> str:
    """How many images each row of a comparison has: the test split may hold fewer than a model was asked for."""
    made, real = image_numbers(evidence)
    return f"{made} images a row" if made == real else f"{made} images a model and {real} a row of real images"


def class_images(evidence: Evidence) -> str:
    """How many images of each class each row of a comparison has."""
    made, real = image_numbers(evidence, NUM_CLASSES)
    return (
        f"{made} images a class and row" if made == real else f"{made} images a class and model, {real} of real images"
    )


def image_numbers(evidence: Evidence, parts: int = 1) -> tuple[str, str]:
    """Number of images of the models, which may differ, and of the reference rows, each divided by ``parts``."""
    made = sorted({variant.evaluate["num_images"] // parts for variant in evidence.variants})
    return " or ".join(map(wording.count, made)), wording.count(evidence.references["num_images"] // parts)


def _readings(measured: Measured, confidence: float) -> dict[str, Any]:
    """What the measurements say, in sentences."""
    evidence, pairs, recognition = measured.evidence, measured.pairs, measured.recognition
    return {
        **_reverse_readings(recognition, confidence),
        **_sampling_readings(evidence),
        "extremes": class_findings.extremes,
        "ranking": model_findings.ranking_text(evidence, pairs, confidence),
        "against": model_findings.against_text(evidence, pairs, confidence),
        "against_table": lambda: model_findings.against_table(evidence, pairs),
        "num_asked": pairs.num_asked,
        "trained": model_findings.trained_text(evidence),
        "head_start": head_start_text(evidence, recognition),
        "unrecognised": class_findings.unrecognised_text(evidence),
        "shared": model_findings.shared_text(evidence),
        "brightness": brightness_rows(evidence, measured.brightness),
        "memorisation": memorisation_text(evidence, confidence),
        "memorisation_table": lambda: memorisation_table(evidence),
        "loss_quality": findings.loss_quality_finding(evidence),
        "gate_text": gate_finding(evidence).text,
        "beside": side_by_side(evidence),
        "measured_otherwise": measured_otherwise,
        "experiments": [(q, experiment_text(q.key, evidence, pairs, confidence)) for q in tried(evidence)],
        "balance": class_findings.balance_finding(evidence),
    }


def _reverse_readings(recognition: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """What CLIP recognises on the way from noise to image, for the variants that are asked about."""
    reverse = recognition[recognition["along"] == "reverse"]
    paths = int(reverse.groupby(["variant", "position"]).size().min())
    half = wilson(paths // 2, paths, confidence)

    def settling(name: str) -> str:
        return settling_text(reverse_rows(recognition, name), confidence)

    def looks(variant: VariantEvidence) -> str:
        return looks_text(reverse_rows(recognition, variant.name), variant.spec.sampling.moves)

    worst_case = f"{50 * (half.high - half.low):.0f}"
    return {"paths": paths, "worst_case": worst_case, "settling": settling, "looks": looks}


def _sampling_readings(evidence: Evidence) -> dict[str, Any]:
    """What drawing a model's images in other ways says."""
    return {
        "sweep": sweep_text(evidence),
        "sweep_table": lambda: sweep_table(evidence),
        "guidance": guidance_text(evidence),
        "guidance_table": lambda: guidance_table(evidence),
        "drawn_otherwise": drawn_otherwise(evidence),
    }


report_task = task(name="report", cache_policy=NO_CACHE)(run_report)
