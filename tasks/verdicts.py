"""Claims of the source and the verdicts on them."""

from dataclasses import dataclass
from typing import Literal, get_args

from models.intervals import Interval
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
        question: the key of the question in :mod:`tasks.questions` that the claim answers.
        needs: what a build that answers it has, in words; empty where every build answers it.
    """

    claim: str
    verdict: Verdict
    text: Markdown
    question: str
    needs: str = ""

    @property
    def lacks(self) -> str:
        """What this build would need to answer it; empty where it does."""
        return self.needs if self.verdict == "not answered" else ""


def sign_verdict(net: Interval) -> Verdict:
    """The verdict on a claim that a difference is above zero: given where its whole interval lies on one side."""
    if net.low > 0:
        return "confirmed"
    return "refuted" if net.high < 0 else "not answered"


def points(value: Interval) -> str:
    """A difference of shares in percentage points, with its interval."""
    low, middle, high = (signed(f"{round(100 * end, 1) + 0.0:+.1f}") for end in (value.low, value.value, value.high))
    return f"{middle} points ({low} to {high})"


def unsigned(text: str) -> str:
    """A difference without its plus signs, for sentences that name its direction."""
    return text.replace("+", "")
