"""How a model is sampled: typed, torch-free descriptions, read and checked like those of ``models/spec.py``."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from models.spec import STRICT, require

STRONGEST = 1000.0
"""The strongest noise, sigma, that a sampler may be asked for."""
MOST_STEPS = 1000
"""Of a sampler over sigma, and of a budget of evaluations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscreteSamplerSpec:
    """Samplers on the steps of a DDPM schedule: ancestral (Ho et al. 2020) or DDIM (Song et al. 2021)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    kind: Literal["ddpm", "ddim"]
    steps: int
    eta: float
    """Share of the ancestral noise in DDIM: 0 deterministic, 1 ancestral. Must be 1 for ``ddpm``."""
    guidance: float
    """g in w + g * (c - w), with c the model told the class: 1 is c, 0 is w."""
    guide: Literal["unlabelled", "early"]
    """w: the model that is not told the class, or an early state of its training that is."""
    start: Literal["noise", "moments"]
    """Pure noise, or noised draws from a Gaussian for each class with the moments of its training images."""

    def __post_init__(self) -> None:
        require(1 <= self.steps <= 10000, "steps", "a number from 1 to 10000")
        require(0.0 <= self.eta <= 1.0, "eta", "a number from 0 to 1")
        require(self.kind == "ddim" or self.eta == 1.0, "eta", "1 for the ddpm sampler")
        require(0.0 <= self.guidance <= 20.0, "guidance", "a number from 0 to 20")
        _require_guide(self)
        told = self.start == "moments" and self.guidance == 0.0
        require(not told, "start", "noise with guidance 0, since moments would tell the class")

    @property
    def unguided(self) -> "DiscreteSamplerSpec":
        """The same without guidance."""
        return replace(self, guidance=1.0, guide="unlabelled")

    @property
    def guided_interval(self) -> None:
        """None: guidance acts at every step."""
        return None

    @property
    def jumps(self) -> bool:
        """False: no model of these is taught to."""
        return False

    @property
    def moves(self) -> int:
        """How often an image moves on its way."""
        return self.steps


@dataclass(frozen=True, kw_only=True, slots=True)
class SigmaSamplerSpec:
    """Samplers of the probability-flow ODE over sigma.

    Heun (Karras et al. 2022), DPM-Solver++ from two and three evaluations (Lu et al. 2022), iPNDM (Zhang and Chen
    2023) and UniPC (Zhao et al. 2023).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    kind: Literal["heun", "dpmpp_2m", "dpmpp_3m", "ipndm", "unipc"]
    steps: int
    jump_steps: int
    """How many of these, the last ones, are taken at once, as a model must have been taught; 1: none."""
    churn: float
    """S_churn of Heun's method: noise added in all steps together, in units of sigma. Must be 0 for the others."""
    sigma_min: float
    sigma_max: float
    rho: float
    """Curvature of the grid of noise levels; 7 in Karras et al. 2022, equation 5."""
    guidance: float
    """g in w + g * (c - w), with c the model told the class: 1 is c, 0 is w."""
    guide: Literal["unlabelled", "early"]
    """w: the model that is not told the class, or an early state of its training that is."""
    guided_sigma: tuple[float, ...]
    """Weakest and strongest noise at which guidance acts (Kynkäänniemi et al. 2024); empty: at all levels."""
    start: Literal["noise", "prior"]
    """Pure noise, or noisy images of the class as the process's prior knows them, both at sigma_max."""
    mended_below: float
    """The strongest noise at which a network is asked; above it what the process's prior guesses is the answer."""

    def __post_init__(self) -> None:
        require(1 <= self.steps <= MOST_STEPS, "steps", f"a number from 1 to {MOST_STEPS}")
        require(0.0 <= self.churn <= 1000.0, "churn", "a number from 0 to 1000")
        require(self.kind == "heun" or self.churn == 0.0, "churn", "0 for all samplers but heun")
        self._require_levels()
        self._require_jump()
        require(0.0 <= self.guidance <= 20.0, "guidance", "a number from 0 to 20")
        _require_guide(self)
        told = self.start == "noise" or self.guidance > 0.0
        require(told, "start", "noise with guidance 0, where the class may not be told")
        whole = not self.guided_sigma or self.guidance not in (0.0, 1.0)
        require(whole, "guided_sigma", "[] with guidance 0 or 1, which is the same at all noise levels")
        ends = self.guided_sigma
        ordered = not ends or (len(ends) == 2 and 0.0 <= ends[0] < ends[1] <= STRONGEST)
        require(ordered, "guided_sigma", f"[], or two rising numbers from 0 to {STRONGEST:g}")

    def _require_levels(self) -> None:
        require(0.0 < self.sigma_min < self.sigma_max, "sigma_min", "above 0 and below sigma_max")
        require(self.sigma_max <= STRONGEST, "sigma_max", f"at most {STRONGEST:g}")
        require(self.sigma_min <= self.mended_below <= STRONGEST, "mended_below", f"from sigma_min to {STRONGEST:g}")
        require(1.0 <= self.rho <= 100.0, "rho", "a number from 1 to 100")

    def _require_jump(self) -> None:
        require(1 <= self.jump_steps <= self.steps, "jump_steps", "a number from 1 to steps")
        require(self.kind != "heun" or not self.jumps, "jump_steps", "1 with heun, which looks twice a step")
        require(self.guidance == 1.0 or not self.jumps, "guidance", "1 with a jump, which is an image and no answer")

    @property
    def unguided(self) -> "SigmaSamplerSpec":
        """The same without guidance."""
        return replace(self, guidance=1.0, guide="unlabelled", guided_sigma=())

    @property
    def guided_interval(self) -> tuple[float, float] | None:
        """The noise levels between which guidance acts, none of them where no network is asked; None for all."""
        if not self.guided_sigma:
            return None if self.mended_below >= STRONGEST else (0.0, self.mended_below)
        return self.guided_sigma[0], min(self.guided_sigma[1], self.mended_below)

    @property
    def jumps(self) -> bool:
        """Whether several steps are taken at once."""
        return self.jump_steps > 1

    @property
    def moves(self) -> int:
        """How often an image moves on its way: steps that are taken at once count as one."""
        return self.steps - self.jump_steps + 1


SamplerSpec = DiscreteSamplerSpec | SigmaSamplerSpec


def _require_guide(sampler: SamplerSpec) -> None:
    needed = sampler.guide == "unlabelled" or sampler.guidance not in (0.0, 1.0)
    require(needed, "guide", "unlabelled with guidance 0 or 1, where no other model is asked")
