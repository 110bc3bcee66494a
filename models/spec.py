"""What a model is made of: typed, torch-free descriptions of networks and processes.

The classes are plain frozen dataclasses, so they can be read and checked in milliseconds, before torch is imported.
``tasks/config.py`` fills them from ``params.yaml``; the modules of this package build the real objects from them.
No field has a default: the file is the default. How a model is sampled is described in ``models/sampler_spec.py``, and
how it is trained in ``models/training_spec.py``.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}
LEAST_SIGNAL = 1e-5
"""The least share of the signal's variance, abar_T, that lets an image be read off predicted noise: to do so divides
the prediction's error by sqrt(abar_T), here 1/316, and nothing clips the image to its range."""
GROUP_SIZE = 16
"""Maps of the flagship's network that are normalised together."""


def require(condition: bool, key: str, expected: str) -> None:
    """Refuse a value that has the right type but lies outside what the mathematics allows.

    Args:
        condition: what must hold.
        key: the field's name, as the user wrote it.
        expected: the permitted values, in words.

    Raises:
        ValueError: ``"<key>|<expected>"``, which the loader turns into its one-line error.
    """
    if not condition:
        raise ValueError(f"{key}|{expected}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CourseUNetSpec:
    """The course's U-Net: 28 -> 14 -> 7 and back, embeddings added at the bottleneck."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    kind: Literal["course_unet"]
    channels: tuple[int, int, int]
    """Feature maps at 28x28, 14x14 and 7x7; multiples of ``group_size``."""
    group_size: int
    """Channels that share one group of the group normalisation."""
    time_features: int
    """Length of the sinusoidal position embedding; even."""

    def __post_init__(self) -> None:
        require(all(8 <= c <= 1024 for c in self.channels), "channels", "three numbers from 8 to 1024")
        require(self.group_size >= 1, "group_size", "a positive divisor of every number of channels")
        divides = all(c % self.group_size == 0 for c in self.channels)
        require(divides, "group_size", "a divisor of every number of channels")
        require(4 <= self.time_features <= 1024, "time_features", "an even number from 4 to 1024")
        require(self.time_features % 2 == 0, "time_features", "an even number from 4 to 1024")


@dataclass(frozen=True, kw_only=True, slots=True)
class EdmUNetSpec:
    """The flagship's U-Net of two sizes, on pixels or on blocks of them, conditioned in every residual block."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    kind: Literal["edm_unet"]
    patch: Literal[1, 2]
    """Side of the squares of pixels that it sees as one: 1 for 28x28 and 14x14, 2 for 14x14 and 7x7."""
    channels: tuple[int, int]
    """Feature maps at the larger size and at the smaller; multiples of 16, the size of a normalisation group."""
    blocks: tuple[int, int]
    """Residual blocks at the larger size and at the smaller, each way."""
    heads: int
    """Heads of the one self-attention at the smaller size; 0 for none."""
    embedding: int
    """Width of the joint embedding of noise level and class."""
    dropout: float
    """Probability of dropping an activation inside a residual block."""

    def __post_init__(self) -> None:
        allowed = all(GROUP_SIZE <= c <= 1024 and c % GROUP_SIZE == 0 for c in self.channels)
        require(allowed, "channels", f"two multiples of {GROUP_SIZE} from {GROUP_SIZE} to 1024")
        require(all(1 <= count <= 8 for count in self.blocks), "blocks", "two numbers from 1 to 8")
        divides = self.heads == 0 or (self.heads > 0 and self.channels[1] % self.heads == 0)
        require(divides, "heads", "a divisor of channels[1], or 0 for no attention")
        require(8 <= self.embedding <= 4096, "embedding", "a number from 8 to 4096")
        require(0.0 <= self.dropout < 1.0, "dropout", "a number from 0 up to, not including, 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class DdpmSpec:
    """Discrete variance-preserving noising (Ho et al. 2020), and what the network learns of it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    kind: Literal["ddpm"]
    steps: int
    """T, the number of noise levels."""
    schedule: Literal["linear", "cosine", "sigmoid"]
    beta_start: float
    beta_end: float
    """First and last beta of the linear schedule; unused, and 0, with the others."""
    zero_terminal: bool
    """Whether the schedule is rescaled so that nothing of the image is left at the last step (Lin et al. 2024)."""
    target: Literal["eps", "x0", "v"]
    """What the network predicts: the noise, the clean image, or the velocity (Salimans and Ho 2022)."""
    times: Literal["uniform", "stratified"]
    """How steps are drawn in training: independently, or spread evenly over each batch."""
    min_snr_gamma: float
    """gamma of the min-SNR weighting (Hang et al. 2023); 0 weighs the target's error alike at all steps."""

    def __post_init__(self) -> None:
        require(2 <= self.steps <= 10000, "steps", "a number from 2 to 10000")
        if self.schedule == "linear":
            require(0.0 < self.beta_start < 1.0, "beta_start", "a number between 0 and 1")
            require(self.beta_start <= self.beta_end < 1.0, "beta_end", "a number from beta_start up to 1")
        else:
            require(self.beta_start == 0.0, "beta_start", f"0 with a {self.schedule} schedule")
            require(self.beta_end == 0.0, "beta_end", f"0 with a {self.schedule} schedule")
        readable = self.target != "eps" or not self.ends_in_noise
        require(readable, "target", "x0 or v with a schedule that ends in noise, which shows too little of the image")
        require(0.0 <= self.min_snr_gamma <= 1000.0, "min_snr_gamma", "a number from 0 to 1000")
        trained = not self.zero_terminal or self.min_snr_gamma == 0.0
        require(trained, "min_snr_gamma", "0 with zero_terminal, whose last step would not be trained")

    @property
    def ends_in_noise(self) -> bool:
        """Whether too little of the signal is left at the last step to read an image off predicted noise there.

        Cosine and sigmoid schedules end in noise but for betas of at most 0.999. abar of a linear one is the product of
        its alphas, which fall as evenly as the betas rise.
        """
        if self.schedule != "linear" or self.zero_terminal:
            return True
        first, last = 1.0 - self.beta_start, 1.0 - self.beta_end
        shares = (t / (self.steps - 1) for t in range(self.steps))
        return sum(math.log((1.0 - share) * first + share * last) for share in shares) < math.log(LEAST_SIGNAL)


WEAKEST_START = 20.0
"""The weakest noise, in units of sigma_data, that may stand for noisy images: garments have a standard deviation of 15
units along their first principal component, which weaker noise is far too narrow for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EdmSpec:
    """Continuous noising x0 + sigma * eps with the preconditioning of Karras et al. 2022."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    kind: Literal["edm"]
    sigma_data: float
    """Standard deviation of the centred, scaled training pixels."""
    prior: Literal["isotropic", "mixture"]
    """What the network starts from: c_skip * x of Karras et al. 2022, or the guess of a mixture of Gaussians."""
    components: int
    rank: int
    subspace: int
    """Size of the mixture: Gaussians a class, directions of each, dimensions they live in; 0 if isotropic."""
    density: Literal["log_normal", "cosine"]
    """How sigma is drawn in training: ln(sigma) normal, or the interpolated cosine of Hoogeboom et al. 2023."""
    log_sigma_mean: float
    log_sigma_std: float
    """Mean and standard deviation of ln(sigma) in training; unused, and 0, with ``cosine``."""
    min_snr_gamma: float
    """gamma of the min-SNR weighting (Hang et al. 2023); 0 for the weighting of Karras et al. 2022."""

    def __post_init__(self) -> None:
        require(0.0 < self.sigma_data <= 10.0, "sigma_data", "a number between 0 and 10")
        self._require_prior()
        require(-10.0 <= self.log_sigma_mean <= 10.0, "log_sigma_mean", "a number from -10 to 10")
        if self.density == "log_normal":
            require(0.0 < self.log_sigma_std <= 10.0, "log_sigma_std", "a number between 0 and 10")
        else:
            require(self.log_sigma_mean == 0.0, "log_sigma_mean", "0 with a cosine density")
            require(self.log_sigma_std == 0.0, "log_sigma_std", "0 with a cosine density")
        require(0.0 <= self.min_snr_gamma <= 1000.0, "min_snr_gamma", "a number from 0 to 1000")

    @property
    def weakest_start(self) -> float:
        """The weakest noise, sigma, that hides images well enough for pure noise to stand for them."""
        return WEAKEST_START * self.sigma_data

    def _require_prior(self) -> None:
        if self.prior == "isotropic":
            for key in ("components", "rank", "subspace"):
                require(getattr(self, key) == 0, key, "0 with an isotropic prior")
        else:
            require(1 <= self.components <= 100, "components", "a number from 1 to 100")
            require(1 <= self.subspace <= 784, "subspace", "a number from 1 to 784")
            require(1 <= self.rank <= self.subspace, "rank", "a number from 1 to subspace")


NetworkSpec = CourseUNetSpec | EdmUNetSpec
ProcessSpec = DdpmSpec | EdmSpec
