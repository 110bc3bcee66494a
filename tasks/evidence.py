"""Everything that was measured, read once: the figures and the report are functions of it and of nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.intervals import Interval
from models.spec import CourseUNetSpec, DdpmSpec, EdmSpec
from tasks.files import read_json
from tasks.paths import metrics_file
from tasks.variants import Variant

Json = Mapping[str, Any]
REFERENCE_TITLES = {
    "real": "Real test images",
    "blurred": "Real, blurred",
    "noised": "Real, noised",
    "shuffled": "Real, labels shuffled",
}
SOURCE_PROCESS = DdpmSpec(
    kind="ddpm",
    steps=100,
    schedule="linear",
    beta_start=0.0001,
    beta_end=0.02,
    zero_terminal=False,
    target="eps",
    times="uniform",
    min_snr_gamma=0.0,
)
"""The noising of the course's template."""
CLAIMED_STEPS = (0.5, 0.7)
"""The shares of the reverse steps between which the source says that garments become recognisable."""
THE_SOURCE = "a variant that shares what the source fixes"
"""What a build must have to try the source's claims on."""
BASELINE = "course"
"""Name of the variant that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One row of every comparison: a variant, or real images in a known state.

    Attributes:
        key: the variant's or the reference's name in ``params.yaml`` and in file names.
        title: what readers call it.
        clip: the CLIP block of its metrics.
        critic: the critic block of its metrics.
        measured: whether a model made the images.
    """

    key: str
    title: str
    clip: Json
    critic: Json
    measured: bool


@dataclass(frozen=True, slots=True)
class VariantEvidence:
    """One variant's description and metrics files.

    Attributes:
        name: its key in ``params.yaml``.
        spec: its description.
        train: summary of its training.
        sample: summary of its sampling.
        score: its CLIP block, with the best and worst images.
        evaluate: its critic block.
        sweep: its quality under other samplers and guides, row by row, beside that of as many real test images.
    """

    name: str
    spec: Variant
    train: Json
    sample: Json
    score: Json
    evaluate: Json
    sweep: Json

    @property
    def mends_mixture(self) -> bool:
        """Whether its network is given the guess of a mixture of Gaussians."""
        return isinstance(self.spec.process, EdmSpec) and self.spec.process.prior == "mixture"

    @property
    def jumps(self) -> bool:
        """Whether its sampler takes several steps at once."""
        return self.spec.sampling.jumps

    @property
    def unguided(self) -> Json:
        """Its row without guidance, with which those with guidance are compared."""
        row: Json = self.sweep["guidance"][0]
        return row

    @property
    def guided(self) -> list[Json]:
        """Its rows with guidance, by rising scale."""
        rows: list[Json] = self.sweep["guidance"][1:]
        return rows

    @property
    def follows_source(self) -> bool:
        """Whether it shares with the source's system what the source fixes.

        That is the noising, sampling that starts from noise and visits every step, and the levels and embeddings of the
        network: the course's kind of U-Net has levels of 28, 14 and 7 pixels and adds both embeddings at the
        bottleneck, whatever its widths. Widths, optimiser, learning rate and length of the training are not checked,
        since the source gives none.
        """
        network, sampling = isinstance(self.spec.network, CourseUNetSpec), self.spec.sampling
        return network and self.spec.process == SOURCE_PROCESS and sampling.kind == "ddpm" and sampling.start == "noise"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All metrics of a build.

    Attributes:
        drawn: whether the garments were drawn by the project instead of being Fashion-MNIST.
        prepare: sizes and hashes of the splits.
        critic: the classifier's own test results.
        scorer: CLIP's own test results; :func:`tasks.gate.with_gate` adds what the gate makes of them.
        references: the rows that stand for floor and ceiling.
        variants: in the order of ``params.yaml``.
    """

    drawn: bool
    prepare: Json
    critic: Json
    scorer: Json
    references: Json
    variants: tuple[VariantEvidence, ...]

    def rows(self) -> list[Judged]:
        """Every judged set of images: the variants, then the references."""
        made = [Judged(v.name, v.spec.title, v.score, v.evaluate, True) for v in self.variants]
        return made + self.reference_rows()

    def reference_rows(self) -> list[Judged]:
        """Real images as they are, and damaged in known ways."""
        rows = self.references["rows"]
        titles = {**{key: key for key in rows}, **{k: t for k, t in REFERENCE_TITLES.items() if k in rows}}
        order = [key for key in REFERENCE_TITLES if key in rows]
        order += sorted(key for key in rows if key not in REFERENCE_TITLES)
        return [Judged(key, titles[key], rows[key]["clip"], rows[key]["critic"], False) for key in order]

    def real(self) -> Judged:
        """Real test images: what a perfect model would reach."""
        return next(row for row in self.reference_rows() if row.key == "real")

    def source_variant(self) -> VariantEvidence | None:
        """The longest trained of the variants that share what the source fixes, if this build has one.

        Of several that saw as many images it is the first in the file.
        """
        followers = (variant for variant in self.variants if variant.follows_source)
        return max(followers, key=lambda variant: float(variant.train["images"]), default=None)

    def baseline(self) -> VariantEvidence | None:
        """The variant that the others are compared with, if this build has it."""
        return next((variant for variant in self.variants if variant.name == BASELINE), None)

    def trained(self) -> list[VariantEvidence]:
        """The variants that were trained themselves: all but those with the weights of another one of this build."""
        own = {variant.name for variant in self.variants if "taken_from" not in variant.train}
        return [variant for variant in self.variants if variant.train.get("taken_from") not in own]

    def epochs(self, variant: VariantEvidence) -> float:
        """How often a variant's training saw every training image, on average."""
        return float(variant.train["images"] / sum(self.prepare["counts"]["train"]))

    def held_out(self, variant: VariantEvidence) -> int:
        """Number of images behind each of a variant's validation losses."""
        available: int = sum(self.prepare["counts"]["val"])
        return min(variant.spec.training.validation_images, available)


def read_evidence(variants: Mapping[str, Variant]) -> Evidence:
    """Read the metrics files of every stage.

    Args:
        variants: the build's variants by name.

    Raises:
        MissingResourceError: a stage has not run.
        IntegrityError: a file is damaged.
    """
    prepare = read_json(metrics_file("prepare"))
    return Evidence(
        drawn=bool(prepare["drawn"]),
        prepare=prepare,
        critic=read_json(metrics_file("critic")),
        scorer=read_json(metrics_file("scorer")),
        references=read_json(metrics_file("references")),
        variants=tuple(read_variant(name, spec) for name, spec in variants.items()),
    )


def read_variant(name: str, spec: Variant) -> VariantEvidence:
    """Read one variant's metrics; see :func:`read_evidence` for the errors."""
    stages = ("train", "sample", "score", "evaluate", "sweep")
    found = {stage: read_json(metrics_file(stage, name)) for stage in stages}
    return VariantEvidence(name=name, spec=spec, **found)


def interval(block: Json) -> Interval:
    """The interval that a metrics file holds."""
    return Interval(float(block["value"]), float(block["low"]), float(block["high"]))


def interval_beside(block: Json, name: str) -> Interval:
    """The interval of a figure whose ends stand beside it: ``fid``, ``fid_low`` and ``fid_high``."""
    return Interval(float(block[name]), float(block[f"{name}_low"]), float(block[f"{name}_high"]))


def network_name(spec: Variant) -> str:
    """The kind of network in words."""
    if isinstance(spec.network, CourseUNetSpec):
        return "course U-Net"
    return "U-Net on pixels" if spec.network.patch == 1 else "U-Net on 2x2 pixel blocks"


def process_name(spec: Variant) -> str:
    """The kind of noising in words."""
    if isinstance(spec.process, EdmSpec):
        return "continuous, EDM"
    process = spec.process
    linear = f"betas {process.beta_start:g} to {process.beta_end:g}"
    schedule = linear if process.schedule == "linear" else f"{process.schedule} schedule"
    parts = [f"T = {process.steps}", schedule, "zero terminal SNR" if process.zero_terminal else ""]
    return ", ".join(part for part in parts if part)


def target_name(spec: Variant) -> str:
    """What the network predicts, in words."""
    words = {"eps": "noise", "x0": "clean image", "v": "velocity"}
    return "clean image" if isinstance(spec.process, EdmSpec) else words[spec.process.target]
