"""Text that goes into the report: strangers' strings shown literally, numbers written one way."""

import math
import re
import string

from models.intervals import Interval

NBSP = "\u00a0"
MINUS = "\u2212"
MOST_DECIMALS = 6
APOSTROPHE = "\u2019"
_POSSESSIVE = re.compile(r"(?<=\w)'(?=s\b)")
_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in string.punctuation})


class Markdown(str):
    """Text that is Markdown already; every other string is escaped before it enters the report."""

    __slots__ = ()


def escape(text: object) -> Markdown:
    r"""Any value as Markdown that shows its characters literally, in every output format.

    Pandoc lets a backslash take the meaning from any punctuation mark, so that no markup, raw HTML, formula, link,
    heading or typst code can arise.
    """
    if isinstance(text, Markdown):
        return text
    return Markdown(_POSSESSIVE.sub(APOSTROPHE, str(text)).translate(_ESCAPES))


def signed(text: str) -> str:
    """Replace a leading hyphen by a minus sign."""
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return signed(f"{100 * share:.1f}{NBSP}%")


def level(confidence: float) -> str:
    """The confidence of intervals as a percentage with no more digits than it has."""
    return f"{100 * confidence:g}{NBSP}%"


def percent_interval(value: Interval) -> str:
    """A share with its interval: ``84.5 % (82.1 to 86.7)``."""
    low, high = signed(f"{100 * value.low:.1f}"), signed(f"{100 * value.high:.1f}")
    return f"{percent(value.value)} ({low} to {high})"


def number(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, never in scientific notation between 0.0001 and 100000."""
    if value != 0 and not 1e-4 <= abs(value) < 1e5:
        return signed(f"{value:.{digits - 1}e}")
    text = f"{value:#.{digits}g}".rstrip(".")
    return signed(f"{float(text):,.0f}" if "e" in text else text)


def number_interval(value: Interval) -> str:
    """A number of three significant digits with its interval, all to as many decimals: ``2.27 (2.15 to 2.45)``.

    Decimals are added, up to six, until ends that differ read differently: ``0.9999 (0.9998 to 1.0000)``.
    """
    size = math.floor(math.log10(abs(value.value))) if value.value else 0
    decimals = min(MOST_DECIMALS, max(0, 2 - size))
    while value.low < value.high and decimals < MOST_DECIMALS and _reads_alike(value, decimals):
        decimals += 1
    middle, low, high = (signed(f"{end:,.{decimals}f}") for end in (value.value, value.low, value.high))
    return f"{middle} ({low} to {high})"


def _reads_alike(value: Interval, decimals: int) -> bool:
    return f"{value.low:.{decimals}f}" == f"{value.high:.{decimals}f}"


def tex(value: float) -> Markdown:
    """A number inside a formula, where a backslash would not be an escape; at most three significant digits."""
    return Markdown(f"{value:.3g}")


def count(value: float) -> str:
    """A whole number with its thousands set off: ``64,000``."""
    return f"{value:,.0f}"


def size_text(parameters: int, fitted_numbers: int) -> str:
    """A model's size: the parameters of its network and, where there are any, the numbers fitted in closed form."""
    return count(parameters) + (f" + {count(fitted_numbers)}" if fitted_numbers else "")


def evaluations_text(number: int) -> str:
    """So many evaluations of a network: ``1 evaluation`` or ``1,000 evaluations``."""
    return f"{count(number)} evaluation{'' if number == 1 else 's'}"


def chance(p_value: float) -> str:
    """A p-value with its sign of relation: ``= 0.034`` or ``< 0.001``."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def duration(seconds: float) -> str:
    """A time in the unit that reads best."""
    if seconds < 90:
        return f"{seconds:.0f}{NBSP}s"
    return f"{seconds / 60:.1f}{NBSP}min" if seconds < 5400 else f"{seconds / 3600:.1f}{NBSP}h"


def told(items: list[str], indent: str = "") -> Markdown:
    """Sentences about one thing as they are, about several things as a list of its own.

    Args:
        items: plain text, one each.
        indent: spaces before each, for a list within another.
    """
    if len(items) <= 1:
        return escape("".join(items))
    return Markdown("\n\n" + "".join(f"{indent}- {escape(item)}\n" for item in items))


def listed(items: list[str]) -> str:
    """Items as an English list: ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
