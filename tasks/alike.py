"""Whether models were computed alike: on what kind of device and in which precision they were trained and sampled."""

from tasks.evidence import Evidence, Json, VariantEvidence
from tasks.wording import Markdown, escape, listed

DEVICES = {"cpu": "the CPU", "cuda": "a GPU"}


def computed_alike(one: VariantEvidence, other: VariantEvidence) -> bool:
    """Whether two variants were trained on the same kind of device in the same precision, and sampled so too.

    If not, a difference between them may come from rounding, and answers no question.
    """
    return _way(one) == _way(other)


def mixture_text(evidence: Evidence) -> Markdown | None:
    """Which models were computed in which way, in one sentence; None where all were computed alike."""
    models: dict[str, list[str]] = {}
    for variant in evidence.variants:
        models.setdefault(_way(variant), []).append(variant.spec.title)
    if len(models) == 1:
        return None
    ways = "; ".join(f"{listed(titles)} {way}" for way, titles in models.items())
    return escape(f"The models were not computed alike, from which a part of their differences may come: {ways}.")


def _way(variant: VariantEvidence) -> str:
    trained, sampled = _arithmetic(variant.train), _arithmetic(variant.sample)
    return f"trained and sampled {trained}" if trained == sampled else f"trained {trained} and sampled {sampled}"


def _arithmetic(summary: Json) -> str:
    environment = summary["environment"]
    return f"on {DEVICES[environment['device']]} in {environment['precision']}"
