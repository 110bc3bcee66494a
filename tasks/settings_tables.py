"""Every setting of every model, told once: in full, or where it differs from that of a model told before."""

from dataclasses import asdict

from tasks.evidence import Evidence, VariantEvidence
from tasks.report_tables import pipe_table
from tasks.wording import Markdown

GROUPS = ("network", "process", "training", "sampling")
KINDS = ("network.kind", "process.kind")
"""Settings that decide which others there are: a model is told in full where it is the first with its kinds."""
NO_OTHER = "no setting differs"


def settings_of(variant: VariantEvidence) -> dict[str, str]:
    """A variant's settings by their dotted key."""
    fields = {group: asdict(getattr(variant.spec, group)) for group in GROUPS}
    return {f"{group}.{key}": _written(value) for group, values in fields.items() for key, value in values.items()}


def told_in_full(evidence: Evidence) -> list[VariantEvidence]:
    """The variants of which none before them has the same kinds of network and process."""
    return [variant for variant in evidence.variants if told_beside(variant, evidence) is None]


def told_beside(variant: VariantEvidence, evidence: Evidence) -> VariantEvidence | None:
    """Of the variants before this one and of its kinds, that of the fewest other settings, the first of several."""
    before = evidence.variants[: evidence.variants.index(variant)]
    alike = [other for other in before if all(settings_of(other)[key] == settings_of(variant)[key] for key in KINDS)]
    return min(alike, key=lambda other: len(differences(variant, other)), default=None)


def differences(variant: VariantEvidence, other: VariantEvidence) -> list[tuple[str, str, str]]:
    """Key, value and the other's value of every setting in which two variants of the same kinds differ."""
    theirs = settings_of(other)
    return [(key, value, theirs[key]) for key, value in settings_of(variant).items() if value != theirs[key]]


def settings_table(variant: VariantEvidence) -> Markdown:
    """Every setting of a variant, by its dotted key."""
    return pipe_table(("Key", "Value"), list(settings_of(variant).items()), (40, 60))


def differences_table(evidence: Evidence) -> Markdown | None:
    """The settings of the variants that are not told in full, beside a variant told before; None where all are."""
    rows: list[tuple[str, ...]] = []
    for variant in evidence.variants:
        other = told_beside(variant, evidence)
        if other is None:
            continue
        first, *more = differences(variant, other) or [(NO_OTHER, "", "")]
        rows += [(variant.spec.title, other.spec.title, *first), *(("", "", *difference) for difference in more)]
    return (
        pipe_table(("Variant", "Beside", "Key", "Value", "Value there"), rows, (24, 20, 28, 14, 14)) if rows else None
    )


def _written(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_written(part)}" for key, part in value.items())
    return (", ".join(map(str, value)) or "[]") if isinstance(value, tuple) else str(value)
