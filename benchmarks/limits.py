"""What a benchmark's command line may ask for, and how long a side-by-side run takes and how closely it looks."""

import argparse
from dataclasses import dataclass, fields

from flows.stage import CommandLine
from tasks.errors import ConfigError
from tasks.labels import NUM_CLASSES

TEST_IMAGES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What every contender gets.

    Attributes:
        seconds: of training, see :class:`benchmarks.trial.TrainingClock`.
        images: drawn and judged at each check, equally many of every class.
        checks: how often a contender is judged.
    """

    seconds: float = 900.0
    images: int = 5000
    checks: int = 6

    def __post_init__(self) -> None:
        require(self.seconds > 0.0, "--seconds", "a number above 0")
        require_balanced(self.images, 20)
        require(1 <= self.checks <= 20, "--checks", "a number from 1 to 20")

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Limits":
        """The limits among the options of :func:`command_line`."""
        return cls(**{field.name: getattr(options, field.name) for field in fields(cls)})

    @property
    def as_options(self) -> list[str]:
        """What a command line must say for these limits."""
        return [text for field in fields(self) for text in (f"--{field.name}", str(getattr(self, field.name)))]

    @property
    def check_times(self) -> list[float]:
        """Seconds of training at which a contender is judged: each twice the one before, the last at the end."""
        return [self.seconds / 2**left for left in reversed(range(self.checks))]


def command_line(module: str) -> CommandLine:
    """The command line of a module of this package, with the limits as options."""
    parser = CommandLine(prog=f"python -m benchmarks.{module}")
    for field in fields(Limits):
        default = field.default
        parser.add_argument(f"--{field.name}", type=type(default), default=default, help=f"default: {default:g}")
    return parser


def require_balanced(images: int, least: int) -> None:
    """Refuse a number of images that is too small, above that of the test images, or not the same for every class.

    Raises:
        ConfigError: it is one of these.
    """
    balanced = least <= images <= TEST_IMAGES and images % NUM_CLASSES == 0
    require(balanced, "--images", f"a multiple of {NUM_CLASSES} from {least} to {TEST_IMAGES}")


def require(holds: bool, option: str, expected: str) -> None:
    """Refuse an option's value.

    Args:
        holds: whether it is as expected.
        option: its name.
        expected: what it must be, in words.

    Raises:
        ConfigError: it is not.
    """
    if not holds:
        raise ConfigError(option, "is out of range", expected, "correct the value")
