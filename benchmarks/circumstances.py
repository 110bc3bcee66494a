"""What the results of a side-by-side run depend on beside its limits; nothing of it may change while it lasts."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from benchmarks.contenders import PEERS, Setup, own_names
from benchmarks.machine import code_mark, machine_line
from tasks.files import sha256_file
from tasks.judge import WEIGHTS
from tasks.side_by_side import described


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where, with what and by whom results are measured.

    Attributes:
        machine: processor, threads and versions, in a line.
        precision: of training and drawing.
        versions: of the peers' packages.
        code: mark of parameters and code.
        critic: hash of the judge's weights.
        confidence: of all intervals.
        variants: the project's own contenders by name, as the run's parameters describe them.
    """

    machine: str
    precision: str
    versions: dict[str, str]
    code: str
    critic: str
    confidence: float
    variants: dict[str, Any]

    @classmethod
    def of(cls, setup: Setup) -> "Circumstances":
        """Those of this moment.

        Args:
            setup: of the run, as its parameters were when it began.
        """
        params = setup.params
        return cls(
            machine=machine_line(),
            precision=setup.precision_name,
            versions={peer: version(peer) for peer in PEERS},
            code=code_mark(),
            critic=sha256_file(WEIGHTS),
            confidence=params.evaluate.confidence,
            variants={name: described(params.variant(name)) for name in own_names()},
        )

    @property
    def line(self) -> str:
        """The machine, the versions of the peers, and the mark of the code."""
        peers = (f"{peer} {number}" for peer, number in sorted(self.versions.items()))
        return ", ".join([self.machine, *peers, f"code {self.code}"])
