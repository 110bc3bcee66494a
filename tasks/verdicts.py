"""Claims of the source and the verdicts on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from models.intervals import Interval
from tasks.comparisons import widened
from tasks.wording import Markdown, signed

Verdict = Literal["confirmed", "confirmed in part", "refuted", "not answered"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim of the source and what became of it.

    Attributes:
        claim: in one sentence.
        verdict: what the measurements say.
        text: the figures behind the verdict.
    """

    claim: str
    verdict: Verdict
    text: Markdown


def joint_verdict(nets: Sequence[Interval], confidence: float) -> Verdict:
    """The verdict on a claim that several differences should be above zero.

    That all of them are needs no more than each interval as it is (Berger 1982). Whether any lies above or below is
    asked of intervals widened for their number, since with enough models one would lie on either side by chance.

    Args:
        nets: the differences, at least one.
        confidence: of their intervals.
    """
    if all(net.low > 0 for net in nets):
        return "confirmed"
    apart = [widened(net, len(nets), confidence) for net in nets]
    if any(net.low > 0 for net in apart):
        return "confirmed in part"
    return "refuted" if any(net.high < 0 for net in apart) else "not answered"


def points(value: Interval) -> str:
    """A difference of shares in percentage points, with its interval."""
    low, middle, high = (signed(f"{round(100 * end, 1) + 0.0:+.1f}") for end in (value.low, value.value, value.high))
    return f"{middle} points ({low} to {high})"


def unsigned(text: str) -> str:
    """A difference without its plus signs, for sentences that name its direction."""
    return text.replace("+", "")
