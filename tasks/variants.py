"""A variant of ``params.yaml``: one model from its network to its sampler, as far as the four fit together."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from models.evaluations import led_nowhere, levels_asked, levels_visited
from models.sampler_spec import DiscreteSamplerSpec, SigmaSamplerSpec
from models.spec import STRICT, CourseUNetSpec, DdpmSpec, EdmSpec, EdmUNetSpec, require
from models.training_spec import TrainingSpec
from tasks.printable import is_printable_line

WATCHING = frozenset({"log_every", "validate_every", "validation_images", "checkpoint_every"})
"""Settings of a training that say how it is looked at, and change nothing in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One model: its network, noising process, training and sampling."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    title: str
    network: Annotated[CourseUNetSpec | EdmUNetSpec, Field(discriminator="kind")]
    process: Annotated[DdpmSpec | EdmSpec, Field(discriminator="kind")]
    training: TrainingSpec
    sampling: Annotated[DiscreteSamplerSpec | SigmaSamplerSpec, Field(discriminator="kind")]

    def __post_init__(self) -> None:
        require(is_printable_line(self.title, 60), "title", "a printable line of 1 to 60 characters")
        discrete = isinstance(self.process, DdpmSpec)
        fits = isinstance(self.sampling, DiscreteSamplerSpec) == discrete
        require(fits, "sampling.kind", "ddpm or ddim with a ddpm process, another sampler with an edm process")
        if isinstance(self.process, DdpmSpec) and isinstance(self.sampling, DiscreteSamplerSpec):
            self._require_discrete(self.process, self.sampling)
        if isinstance(self.process, EdmSpec) and isinstance(self.sampling, SigmaSamplerSpec):
            self._require_continuous(self.process, self.sampling)
        self._require_guide()
        taught = self.sampling if self.sampling.jumps else None
        require(
            taught == self.training.distilled,
            "training.distilled",
            "the settings of sampling where that jumps, and null where it does not",
        )

    @property
    def dropout(self) -> float:
        """The network's probability of dropping an activation; 0 for a kind that drops none."""
        return self.network.dropout if isinstance(self.network, EdmUNetSpec) else 0.0

    def _require_discrete(self, process: DdpmSpec, sampling: DiscreteSamplerSpec) -> None:
        # An edm_unet embeds levels of order one: most of its periods, 8 to 1/8, are too short to tell steps in order
        told = isinstance(self.network, CourseUNetSpec)
        require(told, "network.kind", "course_unet with a ddpm process")
        require(sampling.steps <= process.steps, "sampling.steps", "at most process.steps")
        whole = sampling.kind == "ddim" or sampling.steps == process.steps
        require(whole, "sampling.steps", "process.steps, since the ddpm sampler visits every step")
        moot = process.zero_terminal and sampling.start == "moments"
        require(not moot, "sampling.start", "noise with process.zero_terminal, which leaves nothing to match")

    def _require_continuous(self, process: EdmSpec, sampling: SigmaSamplerSpec) -> None:
        mixture = process.prior == "mixture"
        shown = not mixture or isinstance(self.network, EdmUNetSpec)
        require(shown, "process.prior", "isotropic with a course_unet, which cannot be shown a mixture's guess")
        able = mixture or sampling.start == "noise"
        require(able, "sampling.start", "noise with an isotropic prior, which knows no images")
        weakest = process.weakest_start
        hidden = sampling.start == "prior" or sampling.sigma_max >= weakest
        require(hidden, "sampling.sigma_max", f"at least {weakest:g} with start noise, as weaker noise hides no image")
        knows = mixture or sampling.mended_below >= sampling.sigma_max
        require(knows, "sampling.mended_below", "at least sigma_max with an isotropic prior")
        asked, least = len(levels_asked(sampling)) > 0, min(levels_visited(sampling))
        require(asked, "sampling.mended_below", f"at least {least:.3g}, or no step would ask the network")

    def _require_guide(self) -> None:
        early = self.sampling.guide == "early"
        kept = not early or self.training.snapshots > 1
        require(kept, "training.snapshots", "above 1 with sampling.guide early, which is the first of them")
        learnt = early or self.sampling.guidance == 1.0 or self.training.label_drop > 0.0
        require(learnt, "training.label_drop", "above 0 with guidance by the model without the class")
        levels = ", ".join(f"{level:.3g}" for level in levels_asked(self.sampling))
        somewhere = not led_nowhere(self.sampling)
        require(
            somewhere,
            "sampling.guided_sigma",
            f"[] or an interval with one of the levels at which the network is asked: {levels}",
        )
