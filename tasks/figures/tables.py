"""The report's comparison tables, one row a variant or reference, with every interval that was measured."""

from typing import Any

import pandas as pd

from tasks.evidence import Evidence, Judged, interval, interval_beside
from tasks.files import write_table
from tasks.labels import CLASS_SLUGS
from tasks.paths import table_file
from tasks.recognition import recognition_table

BARE = ("precision", "recall", "density", "coverage")
TABLES = ("variants", "classes", "recognition")
"""Names of the tables that this module writes."""


def write_tables(evidence: Evidence) -> None:
    """Write ``variants.csv``, ``classes.csv`` and ``recognition.csv`` under ``reports/tables``."""
    write_table(table_file("variants"), pd.DataFrame([_row(evidence, row) for row in evidence.rows()]))
    rows = [_class_row(row, slug) for row in evidence.rows() for slug in CLASS_SLUGS]
    write_table(table_file("classes"), pd.DataFrame(rows))
    write_table(table_file("recognition"), recognition_table([variant.name for variant in evidence.variants]))


def _row(evidence: Evidence, row: Judged) -> dict[str, Any]:
    trained: dict[str, Any] = dict.fromkeys(("parameters", "fitted_numbers", "images_trained", "seconds", "weights_of"))
    for variant in evidence.variants:
        if row.measured and variant.name == row.key:
            train = variant.train
            trained = {key: train[key] for key in ("parameters", "fitted_numbers")}
            trained |= {"images_trained": train["images"]}
            trained |= {"seconds": train["seconds"], "weights_of": train.get("taken_from", variant.name)}
    judged: dict[str, Any] = {"images_judged": row.critic["num_images"]}
    judged |= interval(row.critic["accuracy"]).columns("class_accuracy")
    for key in ("fid", "kid"):
        judged |= interval_beside(row.critic, key).columns(key)
    judged |= {key: row.critic[key] for key in BARE}
    for key in ("good", "clear", "blurry", "accuracy"):
        judged |= interval(row.clip[key]).columns(f"clip_{key}")
    kind = "variant" if row.measured else "reference"
    return {"kind": kind, "name": row.key, "title": row.title, **trained, **judged}


def _class_row(row: Judged, slug: str) -> dict[str, Any]:
    clip, critic = row.clip["per_class"][slug], row.critic["per_class"][slug]
    found: dict[str, Any] = {"name": row.key, "class": slug, **interval(critic["accuracy"]).columns("class_accuracy")}
    for name in ("good", "clear", "blurry"):
        found |= interval(clip[name]).columns(name)
    return found
