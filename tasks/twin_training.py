"""A training that another variant of the build has done already: its results are taken over, not computed again.

Variants that differ in their sampling or title alone have one training between them: the same network, process,
training, seed, data, code, library, device, threads and precision, from which the same bits follow, unless several
processes shared it: that changes the order of sums, and which dropout is drawn. Of variants that were trained by as
many, no number depends on which was trained, but for the seconds; these, and the processes, are told as they were.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import IntegrityError, MissingResourceError
from tasks.files import read_json, sha256_file, sha256_json, write_bytes, write_json
from tasks.journal import HISTORY, NOISE_LEVELS
from tasks.locked_build import LockedBuild, dvc_md5
from tasks.paths import artifact, metrics_file
from tasks.snapshots import FOLDER, republish_snapshots, snapshot_name
from tasks.weights import CARD, WEIGHTS, read_card, write_card

logger = logging.getLogger(__name__)
TAKEN_FROM = "taken_from"
"""Key of a card and of a summary: the variant whose training it was. Who was trained itself has no such key."""


@dataclass(frozen=True, slots=True)
class Twin:
    """Another variant's finished training.

    Attributes:
        variant: its name.
        card: of its weights.
        summary: of its training.
    """

    variant: str
    card: dict[str, Any]
    summary: dict[str, Any]


def finished_twin(config: dict[str, Any], others: Iterable[str]) -> Twin | None:
    """The first of the other variants that was trained itself under this configuration, all of it recorded and intact.

    Results count once ``dvc.lock`` holds them, byte for byte: a variant whose training has not run yet, whose outputs
    DVC has just deleted or whose files are damaged is passed over. So is one whose weights were taken over in turn;
    otherwise two variants that are asked for again would hand each other the same old results.

    Args:
        config: everything on which the bits of the weights depend.
        others: names of the build's other variants.
    """
    identity, lock = sha256_json(config), LockedBuild()
    found = (_intact(variant, identity, lock) for variant in others)
    return next((twin for twin in found if twin is not None), None)


def take_over(variant: str, twin: Twin) -> dict[str, Any]:
    """Publish a twin's results under a variant's name and return the summary; the summary is written last.

    Args:
        variant: whose results they become.
        twin: whose they are.
    """
    republish_snapshots(variant, twin.variant, {kept["step"]: kept["sha256"] for kept in twin.card["snapshots"]})
    for name in (WEIGHTS, HISTORY, NOISE_LEVELS):
        write_bytes(artifact(variant, name), artifact(twin.variant, name).read_bytes())
    named = {"variant": variant, TAKEN_FROM: twin.variant}
    write_card(variant, {**twin.card, **named})
    summary = {**twin.summary, **named}
    write_json(metrics_file("train", variant), summary)
    logger.info("%s is not trained: it takes over the weights of %s, whose training is the same", variant, twin.variant)
    return summary


def results_of(variant: str) -> list[Path]:
    """All that a training leaves, as ``dvc.yaml`` names it."""
    names = (WEIGHTS, CARD, HISTORY, NOISE_LEVELS, FOLDER)
    return [*(artifact(variant, name) for name in names), metrics_file("train", variant)]


def _intact(variant: str, identity: str, lock: LockedBuild) -> Twin | None:
    try:
        twin = Twin(variant, read_card(variant), read_json(metrics_file("train", variant)))
        return twin if _is_of(twin, identity) and _is_recorded(variant, lock) and _is_whole(twin) else None
    except (MissingResourceError, IntegrityError, KeyError):  # the last from a summary that tells too little
        return None


def _is_of(twin: Twin, identity: str) -> bool:
    """Whether a variant was trained itself, under this identity."""
    return twin.card["identity"] == twin.summary["identity"] == identity and TAKEN_FROM not in twin.card


def _is_recorded(variant: str, lock: LockedBuild) -> bool:
    return lock.holds({str(path): dvc_md5(path) for path in results_of(variant)})


def _is_whole(twin: Twin) -> bool:
    """Whether the weights, the kept ones too, are those that the card names."""
    sums = {snapshot_name(entry["step"]): entry["sha256"] for entry in twin.card["snapshots"]}
    sums[WEIGHTS] = twin.card["weights_sha256"]
    return all(sha256_file(artifact(twin.variant, name)) == digest for name, digest in sums.items())
