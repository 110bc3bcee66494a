"""What ``params.yaml`` may hold: one frozen dataclass a group, which checks its own values.

The classes need neither torch nor files, so that a mistake is found in milliseconds. No field has a default: the file
is the default.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from models.sampler_spec import MOST_STEPS, STRONGEST, SigmaSamplerSpec
from models.spec import STRICT, WEAKEST_START, EdmSpec, require
from tasks.errors import ConfigError
from tasks.printable import is_printable_line
from tasks.variants import Variant

NAME = r"^[a-z][a-z0-9_]{0,31}$"
RESERVED = frozenset({"critic", "scorer"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """Where and how the arithmetic runs."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    device: Literal["auto", "cpu", "cuda"]
    threads: int
    precision: Literal["auto", "float32", "bfloat16"]
    compile: bool

    def __post_init__(self) -> None:
        require(1 <= self.threads <= 64, "threads", "a number from 1 to 64")


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnCounts:
    """Garments to draw per class and split."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    train: int
    test: int

    def __post_init__(self) -> None:
        require(20 <= self.train <= 100_000, "train", "a number from 20 to 100000")
        require(20 <= self.test <= 100_000, "test", "a number from 20 to 100000")


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """Where the raw archives come from."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    source: Literal["archives", "drawn"]
    folders: tuple[str, ...]
    mirrors: tuple[str, ...]
    timeout_s: float
    attempts: int
    drawn_per_class: DrawnCounts

    def __post_init__(self) -> None:
        require(all(m.startswith("https://") for m in self.mirrors), "mirrors", "addresses that begin with https://")
        require(0.1 <= self.timeout_s <= 600.0, "timeout_s", "a number from 0.1 to 600")
        require(1 <= self.attempts <= 20, "attempts", "a number from 1 to 20")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepare:
    """The cut of the training split."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    validation_per_class: int

    def __post_init__(self) -> None:
        require(1 <= self.validation_per_class <= 3000, "validation_per_class", "a number from 1 to 3000")


@dataclass(frozen=True, kw_only=True, slots=True)
class Critic:
    """The classifier of real garments that judges every variant."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    channels: tuple[int, int, int]
    features: int
    """Length of the feature vector behind FID, precision and recall."""
    steps: int
    batch: int
    lr: float
    weight_decay: float
    dropout: float

    def __post_init__(self) -> None:
        require(all(8 <= c <= 1024 and c % 8 == 0 for c in self.channels), "channels", "three multiples of 8 to 1024")
        require(8 <= self.features <= 2048, "features", "a number from 8 to 2048")
        _require_fit(self.steps, self.batch, self.lr)
        require(0.0 <= self.weight_decay <= 1.0, "weight_decay", "a number from 0 to 1")
        require(0.0 <= self.dropout < 1.0, "dropout", "a number from 0 up to, not including, 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorerFit:
    """The small open_clip model and its training."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    steps: int
    batch: int
    lr: float
    width: int
    layers: int
    patch: int
    embedding: int

    def __post_init__(self) -> None:
        _require_fit(self.steps, self.batch, self.lr)
        require(32 <= self.width <= 1024 and self.width % 32 == 0, "width", "a multiple of 32 from 32 to 1024")
        require(1 <= self.layers <= 24, "layers", "a number from 1 to 24")
        require(self.patch in (2, 4, 7, 14), "patch", "2, 4, 7 or 14")
        require(8 <= self.embedding <= 1024, "embedding", "a number from 8 to 1024")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scorer:
    """CLIP: where it comes from and what it is asked."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    source: Literal["fitted", "pretrained", "folder"]
    model: str
    tag: str
    folder: str
    class_words: tuple[str, ...]
    good_prompt: str
    clear_prompt: str
    blurry_prompt: str
    noisy_prompt: str
    blur_sigma: tuple[float, float]
    noise_sigma: tuple[float, float]
    fit: ScorerFit

    def __post_init__(self) -> None:
        words = self.class_words
        require(len(words) == len(set(words)) == 10, "class_words", "ten different words, one a class")
        require(all(is_printable_line(word) for word in words), "class_words", "printable words of 1 to 60 characters")
        for key in ("good_prompt", "clear_prompt", "blurry_prompt", "noisy_prompt"):
            prompt = getattr(self, key)
            whole = prompt.count("{") == prompt.count("}") == prompt.count("{}") == 1
            require(is_printable_line(prompt, 200) and whole, key, "a sentence with {} once and no other brace")
        require(0.0 < self.blur_sigma[0] <= self.blur_sigma[1] <= 10.0, "blur_sigma", "two rising numbers up to 10")
        require(0.0 < self.noise_sigma[0] <= self.noise_sigma[1] <= 2.0, "noise_sigma", "two rising numbers up to 2")
        written_out = is_printable_line(self.folder, 1000) and not self.folder.startswith("~")
        require(written_out, "folder", "the path of a folder, without ~")  # DVC takes the path as it stands


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """How many images each variant makes."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    per_class: int
    batch: int
    trajectory_per_class: int

    def __post_init__(self) -> None:
        require(10 <= self.per_class <= 10_000, "per_class", "a number from 10 to 10000")
        require(1 <= self.batch <= 10_000, "batch", "a number from 1 to 10000")
        require(1 <= self.trajectory_per_class <= 10, "trajectory_per_class", "a number from 1 to 10")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutDamage:
    """Damage that fitting the scorer never uses: how strong it is in the scorer's trial."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    box_blur: int
    motion_blur: int
    pixelation: int
    salt_and_pepper: float

    def __post_init__(self) -> None:
        for key in ("box_blur", "motion_blur"):
            pixels = getattr(self, key)
            require(3 <= pixels <= 27 and pixels % 2 == 1, key, "an odd number of pixels from 3 to 27")
        require(self.pixelation in (2, 4, 7, 14), "pixelation", "2, 4, 7 or 14")
        require(0.0 < self.salt_and_pepper <= 1.0, "salt_and_pepper", "a number above 0, at most 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluate:
    """How the judges' figures and their intervals are computed."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    neighbours: int
    bootstrap: int
    confidence: float
    reference_blur_sigma: float
    reference_noise_sigma: float
    held_out_damage: HeldOutDamage

    def __post_init__(self) -> None:
        require(1 <= self.neighbours <= 100, "neighbours", "a number from 1 to 100")
        require(100 <= self.bootstrap <= 100_000, "bootstrap", "a number from 100 to 100000")
        require(0.5 <= self.confidence < 1.0, "confidence", "a number from 0.5 up to, not including, 1")
        require(0.0 < self.reference_blur_sigma <= 10.0, "reference_blur_sigma", "a number above 0, at most 10")
        require(0.0 < self.reference_noise_sigma <= 2.0, "reference_noise_sigma", "a number above 0, at most 2")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorerGate:
    """What the scorer must reach on real test images before the report trusts it; read by the report alone."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    zero_shot_accuracy: float
    auc: float

    def __post_init__(self) -> None:
        require(0.0 <= self.zero_shot_accuracy <= 1.0, "zero_shot_accuracy", "a number from 0 to 1")
        require(0.0 <= self.auc <= 1.0, "auc", "a number from 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the report says of itself."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    title: str
    author: str
    gate: ScorerGate

    def __post_init__(self) -> None:
        require(is_printable_line(self.title, 200), "title", "a printable line of 1 to 200 characters")
        require(not self.author or is_printable_line(self.author, 200), "author", "a printable line, or nothing")


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidanceSweep:
    """How strongly every variant's samples are led, and between which noise levels."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    scales: tuple[float, ...]
    """Each tried with every guide."""
    sigma: tuple[float, float]
    """Weakest and strongest noise at which guidance acts where it is tried on an interval."""

    def __post_init__(self) -> None:
        led = all(1.0 < scale <= 20.0 for scale in self.scales)
        distinct = len(set(self.scales)) == len(self.scales) > 0
        require(led and distinct, "scales", "different numbers above 1, at most 20")
        rising = 0.0 <= self.sigma[0] < self.sigma[1] <= STRONGEST
        require(rising, "sigma", f"two rising numbers from 0 to {STRONGEST:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Which samplers are tried on every variant, with how many evaluations, and how it is guided."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    per_class: int
    evaluations: tuple[int, ...]
    samplers: tuple[Literal["heun", "dpmpp_2m", "dpmpp_3m", "ipndm", "unipc"], ...]
    """Of variants with an EDM process; those with a DDPM process are sampled by DDIM."""
    noise_sigma_max: float
    """Where a variant that starts from its prior starts when, for comparison, it is given pure noise."""
    guidance: GuidanceSweep

    def __post_init__(self) -> None:
        require(2 <= self.per_class <= 10_000, "per_class", "a number from 2 to 10000")  # intervals leave some out
        counts = all(1 <= count <= MOST_STEPS for count in self.evaluations) and len(self.evaluations) > 0
        require(counts, "evaluations", f"numbers from 1 to {MOST_STEPS}")
        require(len(self.samplers) > 0, "samplers", "at least one sampler")
        require(0.0 < self.noise_sigma_max <= STRONGEST, "noise_sigma_max", f"above 0, at most {STRONGEST:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """All of ``params.yaml``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    seed: int
    compute: Compute
    data: Data
    prepare: Prepare
    critic: Critic
    scorer: Scorer
    sample: Sample
    evaluate: Evaluate
    sweep: Sweep
    report: Report
    variants: dict[Annotated[str, Field(pattern=NAME)], Variant]

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**31, "seed", "a number from 0 to 2147483647")
        images = 10 * self.sweep.per_class
        enough = self.evaluate.neighbours < images
        require(enough, "evaluate.neighbours", f"fewer than the images of a sweep, 10 * sweep.per_class = {images}")
        drawn = self.sweep.per_class <= self.sample.per_class
        require(drawn, "sweep.per_class", "at most sample.per_class, since the same seeds are drawn again")
        require(1 <= len(self.variants) <= 64, "variants", "at least one variant")
        free = RESERVED.isdisjoint(self.variants)
        require(free, "variants", f"names other than {' and '.join(sorted(RESERVED))}, whose folders the judges have")
        known: dict[str, str] = {}
        for name, variant in self.variants.items():
            first = known.setdefault(variant.title, name)  # the report tells variants apart by their titles
            require(first == name, f"variants.{name}.title", f"a title of its own, since variants.{first} has this one")
            whole = not self.compute.compile or variant.dropout == 0.0
            expected = "0 with compute.compile, whose kernels would be made anew for every seed of it"
            require(whole, f"variants.{name}.network.dropout", expected)
            self._require_loud(name, variant)

    def _require_loud(self, name: str, variant: Variant) -> None:
        """The noise that the sweep gives a variant in place of its prior's draws must hide images."""
        process, sampling = variant.process, variant.sampling
        if isinstance(process, EdmSpec) and isinstance(sampling, SigmaSamplerSpec) and sampling.start == "prior":
            weakest, loud = process.weakest_start, self.sweep.noise_sigma_max
            units = f"{WEAKEST_START:g} times sigma_data of variants.{name}"
            require(loud >= weakest, "sweep.noise_sigma_max", f"at least {weakest:g}, {units}")
            above = loud > sampling.sigma_min
            require(above, "sweep.noise_sigma_max", f"above sampling.sigma_min of variants.{name}")

    def variant(self, name: str) -> Variant:
        """The variant called ``name``.

        Raises:
            ConfigError: there is none.
        """
        if name not in self.variants:
            known = ", ".join(self.variants)
            raise ConfigError("variants", f"has no {name!r}", f"one of {known}", "correct the name")
        return self.variants[name]


def _require_fit(steps: int, batch: int, lr: float) -> None:
    """What the trainings of both judges ask of their length, batch and learning rate."""
    require(1 <= steps <= 1_000_000, "steps", "a number from 1 to 1000000")
    require(8 <= batch <= 65536, "batch", "a number from 8 to 65536")
    require(0.0 < lr <= 1.0, "lr", "a number above 0, at most 1")
