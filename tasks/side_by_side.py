"""What ``make bench`` measured of the models beside other libraries, as the report tells it."""

from pathlib import Path

from tasks.evidence import Evidence, Json, interval
from tasks.files import read_json
from tasks.report_tables import pipe_table
from tasks.wording import Markdown, count, number_interval

SUMMARY = Path("benchmarks/results/summary.json")
"""Written by ``make bench``; it names the machine that it was measured on."""


def side_by_side(evidence: Evidence) -> Json | None:
    """The comparison to tell of; None where none was made, and on drawn garments, of which it says nothing.

    Raises:
        IntegrityError: its file is damaged.
    """
    return read_json(SUMMARY) if SUMMARY.is_file() and not evidence.drawn else None


def side_by_side_table(found: Json) -> Markdown:
    """Seconds of training to each distance, and what was reached in the end, a row a contender."""
    targets = [f"To FID {target:g}" for target in found["targets"]]
    header = ("Contender", "Training, images/s", *targets, "FID at the end")
    rows = [
        (row["name"], count(row["images_per_second"]), *row["times"], number_interval(interval(row["fid"])))
        for row in found["rows"]
    ]
    return pipe_table(header, rows)
