"""The errors a user can meet: one line each, with the exit code that tells a scheduler what to do next."""


class PipelineError(Exception):
    """A failure whose cause the user can read in one line.

    Args:
        subject: the file or the dotted configuration key at fault.
        what: what was found.
        expected: what would have been right.
        remedy: what to do now.
    """

    exit_code = 1

    def __init__(self, subject: str, what: str, expected: str, remedy: str) -> None:
        line = f"{subject}: {what}; expected {expected}; do {remedy}"
        super().__init__(" ".join(line.split()))


class ConfigError(PipelineError):
    """Bad input or configuration: trying again changes nothing."""

    exit_code = 2


class IntegrityError(PipelineError):
    """A file is not what it is recorded to be."""

    exit_code = 3


class MissingResourceError(PipelineError):
    """Something the run needs is not there: a device, a model folder, an earlier stage's output."""

    exit_code = 4


class DivergedError(PipelineError):
    """Training left the finite numbers; the last good checkpoint is kept."""

    exit_code = 5


class TryAgainError(PipelineError):
    """A passing condition, such as a lock, a full disk or an unreachable mirror."""

    exit_code = 75


class StoppedError(PipelineError):
    """A signal ended the run after its state was saved.

    Args:
        signal_number: the signal received; the exit code is 128 plus this number.
        subject: the work that was interrupted.
        saved: where its state lies.
    """

    def __init__(self, signal_number: int, subject: str, saved: str) -> None:
        super().__init__(subject, f"stopped by signal {signal_number}", "an unbroken run", f"run it again: {saved}")
        self.exit_code = 128 + signal_number
