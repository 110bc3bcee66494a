"""What samplers and their guides are called in tables and plots."""

from models.sampler_spec import DiscreteSamplerSpec, SamplerSpec

WITHOUT_CLASS = "without the class"
PRIOR_FIRST = ", the prior first"
"""Ends the name of a sampler whose first steps from pure noise ask no network."""


def sampler_name(sampler: SamplerSpec) -> str:
    """A sampler in words, without its number of steps."""
    if isinstance(sampler, DiscreteSamplerSpec):
        return {0.0: "DDIM", 1.0: "DDPM"}.get(sampler.eta, f"DDIM, eta {sampler.eta:g}")
    churn = f", churn {sampler.churn:g}" if sampler.churn else ""
    names = {
        "heun": f"Heun{churn}",
        "dpmpp_2m": "DPM-Solver++(2M)",
        "dpmpp_3m": "DPM-Solver++(3M)",
        "ipndm": "iPNDM",
        "unipc": "UniPC",
    }
    return f"{names[sampler.kind]}{' and a jump' if sampler.jumps else ''}"


def guide_name(sampler: SamplerSpec) -> str:
    """What a sample is led away from, in words."""
    if sampler.guidance == 1.0:
        return "none"
    if sampler.guide == "early":
        return "early state"
    if isinstance(sampler, DiscreteSamplerSpec) or not sampler.guided_sigma:
        return WITHOUT_CLASS
    low, high = sampler.guided_sigma
    return f"{WITHOUT_CLASS}, \u03c3 {low:g}\u2013{high:g}"
