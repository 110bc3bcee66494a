"""The source's questions and what each needs of a build, so that a build can say which of them it leaves open.

A question that a claim answers is open as long as no such claim has a verdict: list and verdicts cannot disagree.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tasks.evidence import THE_SOURCE, Evidence
from tasks.experiments import EXPERIMENTS, confounded, is_answered
from tasks.verdicts import Finding

Need = Callable[[Evidence], bool]


@dataclass(frozen=True, slots=True)
class Question:
    """A question that the source asks or answers without measuring.

    Attributes:
        key: its short name.
        asks: the question.
        needs: what a build must hold to answer it, in words.
        met: whether a build holds it; no build does where no finding reads the experiment.
    """

    key: str
    asks: str
    needs: str
    met: Need

    @property
    def beyond_settings(self) -> bool:
        """Whether no settings would do: the experiment itself is not a part of this project."""
        return self.met is _no_build


def left_open(evidence: Evidence, claims: Sequence[Finding]) -> list[Question]:
    """The questions that a build does not answer, each with what it would take, in the order of the report.

    What is needed names the variants that would answer one but for how they were computed.

    Args:
        evidence: the build's measurements.
        claims: what became of the source's claims, see :func:`tasks.findings.findings`.
    """
    found = [_as_open(question, evidence, claims) for question in QUESTIONS]
    return [question for question in found if question is not None]


def tried(evidence: Evidence) -> list[Question]:
    """The questions that a build's experiments answer, in the order of the report."""
    return [question for question in QUESTIONS if question.key in EXPERIMENTS and question.met(evidence)]


def _as_open(question: Question, evidence: Evidence, claims: Sequence[Finding]) -> Question | None:
    """A question with what it would take to answer it; None where it is answered."""
    if not question.met(evidence):
        return _with_confounded(question, evidence)
    about = [claim for claim in claims if claim.question == question.key]
    if not about or any(claim.verdict != "not answered" for claim in about):
        return None
    return replace(question, needs=", or ".join(dict.fromkeys(claim.lacks for claim in about)))


def _with_confounded(question: Question, evidence: Evidence) -> Question:
    pairs = confounded(question.key, evidence) if question.key in EXPERIMENTS else []
    if not pairs:
        return question
    titles = " as well as ".join(f"{changed.spec.title} and {other.spec.title}" for changed, other in pairs)
    return replace(question, needs=f"{question.needs}, computed alike, which {titles} were not")


def _any_build(_: Evidence) -> bool:
    return True


def _source(evidence: Evidence) -> bool:
    return evidence.source_variant() is not None


def _no_build(_: Evidence) -> bool:
    return False


def _experiment(key: str) -> Need:
    def met(evidence: Evidence) -> bool:
        return is_answered(key, evidence)

    return met


ANYTHING = "any build"
QUESTIONS = (
    Question("noise", "Does the forward process end in noise?", THE_SOURCE, _source),
    Question(
        "repair",
        "Does a schedule that ends in noise repair the samples?",
        "two variants that differ in the schedule alone, of which one ends in noise and the other does not",
        _experiment("repair"),
    ),
    Question(
        "start",
        "Is it enough to start from a Gaussian for each class, fitted to its noised images?",
        "two variants that differ in the start of sampling alone",
        _experiment("start"),
    ),
    Question(
        "target",
        "Should a network predict the noise, the image or the velocity?",
        "two variants that differ in the target alone",
        _experiment("target"),
    ),
    Question(
        "prior",
        "What does a closed-form guess give, which the network has only to mend?",
        "two variants that differ in the prior alone",
        _experiment("prior"),
    ),
    Question(
        "steps",
        "Do many small reverse steps do better than a few large ones?",
        "one model sampled with several numbers of steps: by a sweep that tries its own sampler, or as two variants",
        _experiment("steps"),
    ),
    Question(
        "jumps",
        "Can a model be taught to need fewer evaluations?",
        "two variants of which the later is the other's training with steps that teach it to jump",
        _experiment("jumps"),
    ),
    Question("settling", "From where on are garments recognisable, and does that vary by image?", ANYTHING, _any_build),
    Question(
        "skips",
        "Do the skip connections give detail, better gradients and better samples?",
        "a network without them, trained on an equal budget",
        _no_build,
    ),
    Question("cnn", "Is a U-Net better than a plain CNN?", "a plain CNN, trained on an equal budget", _no_build),
    Question(
        "time",
        "What does the time embedding give?",
        "a network that is not told the time, trained on an equal budget",
        _no_build,
    ),
    Question(
        "guidance",
        "What does guidance, which the conditioning mask permits, do to the samples?",
        "one model sampled with several guides or scales: by its sweep, or as two variants",
        _experiment("guidance"),
    ),
    Question("loss", "Does the training loss fall from above 1 to 0.105-0.110?", THE_SOURCE, _source),
    Question("low_loss", "Does a low loss mean good samples?", THE_SOURCE, _source),
    Question(
        "repeat",
        "How far apart are two trainings of the same model?",
        "two variants that differ in the number of the training alone",
        _experiment("repeat"),
    ),
    Question("validation", "Does the validation loss fall too?", ANYTHING, _any_build),
    Question("training", "Do samples become clear over the training?", ANYTHING, _any_build),
    Question("clip", "Do CLIP's prompts measure how clear a picture is?", ANYTHING, _any_build),
    Question("agreement", "Do CLIP's scores go with recognisable samples?", ANYTHING, _any_build),
    Question("extremes", "Which images score highest and lowest?", ANYTHING, _any_build),
    Question("shapes", "Are simple shapes easier than complex ones?", ANYTHING, _any_build),
    Question(
        "balance",
        "Are better represented classes easier?",
        "models trained with images of some classes removed",
        _no_build,
    ),
    Question(
        "clip_loss",
        "What does a CLIP term in the training loss do, and is training with it stable?",
        "a model trained with such a term",
        _no_build,
    ),
    Question(
        "augmentation",
        "Do samples help to train a classifier?",
        "classifiers trained with and without samples",
        _no_build,
    ),
    Question(
        "variation",
        "Can samples vary a design?",
        "garments that the model has redrawn from a noisy version, judged beside the originals",
        _no_build,
    ),
    Question(
        "restoration",
        "Can the model restore degraded images?",
        "degraded images that the model has restored, judged beside the originals",
        _no_build,
    ),
    Question("duration", "How long do training and sampling take?", ANYTHING, _any_build),
    Question("resources", "How much memory and energy do training and sampling take?", "a record of both", _no_build),
    Question(
        "width",
        "Is a wider or deeper network better?",
        "two variants that differ in the channels or the blocks alone",
        _experiment("width"),
    ),
    Question(
        "selection",
        "Is it better to let CLIP select, 15 a class of which the best 3 are kept?",
        "selected samples, judged by the critic and by their diversity",
        _no_build,
    ),
    Question(
        "styles",
        "What do styles (slanted, thick, thin) do to quality, diversity and convergence?",
        "garments labelled by style, and a model trained on them",
        _no_build,
    ),
)
"""Every question of the source in the order of the report, and six of this project: "repair" to "prior", "jumps" and
"repeat"."""
