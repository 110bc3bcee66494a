"""What ``make bench`` measured of the models beside other libraries, as the report tells it."""

from pathlib import Path

from tasks.evidence import Evidence, Json, interval
from tasks.files import read_json
from tasks.report_tables import pipe_table
from tasks.sampler_names import sampler_name
from tasks.variants import Variant
from tasks.wording import Markdown, count, number_interval

SUMMARY = Path("benchmarks/results/summary.json")
"""Written by ``make bench``; it names the machine that it was measured on."""


def side_by_side(evidence: Evidence) -> Json | None:
    """The comparison to tell of; None where none was made, and on drawn garments, of which it says nothing.

    Raises:
        IntegrityError: its file is damaged.
    """
    return read_json(SUMMARY) if SUMMARY.is_file() and not evidence.drawn else None


def in_few_words(spec: Variant) -> str:
    """How large a variant's network is, how it is trained and how sampled, as the results name it."""
    training, channels = spec.training, "/".join(map(str, spec.network.channels))
    trained = f"{channels} channels, {training.steps} steps of {training.batch}, {training.optimizer.title()}"
    return f"{trained}, {sampler_name(spec.sampling)}"


def measured_otherwise(found: Json, evidence: Evidence) -> list[str]:
    """The titles of the models that this build trains or samples otherwise than those of their names were measured."""
    settings = {row["name"]: row["settings"] for row in found["rows"]}
    kept = [variant for variant in evidence.variants if variant.name in settings]
    return [variant.spec.title for variant in kept if in_few_words(variant.spec) != settings[variant.name]]


def side_by_side_table(found: Json) -> Markdown:
    """Seconds of training to each distance, and what was reached in the end, a row a contender."""
    targets = [f"To FID {target:g}" for target in found["targets"]]
    header = ("Contender", "Training, images/s", *targets, "FID at the end")
    rows = [
        (row["name"], count(row["images_per_second"]), *row["times"], number_interval(interval(row["fid"])))
        for row in found["rows"]
    ]
    return pipe_table(header, rows)
