"""Processes, samplers and denoisers, plain but for what a test is about."""

from typing import Any, cast

from torch import Tensor

from models.predictions import Predict, PredictInParts
from models.sampler_spec import SigmaSamplerSpec
from models.spec import DdpmSpec, EdmSpec


def ddpm(steps: int = 100, beta_start: float = 0.0001, beta_end: float = 0.02, **changes: Any) -> DdpmSpec:
    """The course's process."""
    plain: dict[str, Any] = {
        "schedule": "linear",
        "beta_start": beta_start if changes.get("schedule", "linear") == "linear" else 0.0,
        "beta_end": beta_end if changes.get("schedule", "linear") == "linear" else 0.0,
        "zero_terminal": False,
        "target": "eps",
        "times": "uniform",
        "min_snr_gamma": 0.0,
    }
    return DdpmSpec(kind="ddpm", steps=steps, **{**plain, **changes})


def edm(**changes: Any) -> EdmSpec:
    """The preconditioning of Karras et al. 2022 on data of standard deviation 0.5."""
    plain: dict[str, Any] = {
        "sigma_data": 0.5,
        "prior": "isotropic",
        "components": 0,
        "rank": 0,
        "subspace": 0,
        "density": "log_normal",
        "log_sigma_mean": -1.0,
        "log_sigma_std": 1.2,
        "min_snr_gamma": 0.0,
    }
    return EdmSpec(kind="edm", **{**plain, **changes})


def mixture_edm(components: int = 2, rank: int = 3, subspace: int = 8) -> EdmSpec:
    """The same on a small mixture of Gaussians."""
    return edm(prior="mixture", components=components, rank=rank, subspace=subspace)


def along_sigma(kind: str, steps: int, **changes: Any) -> SigmaSamplerSpec:
    """A sampler over sigma from noise at 20 to 0.01, which asks the network everywhere."""
    plain: dict[str, Any] = {
        "jump_steps": 1,
        "churn": 0.0,
        "sigma_min": 0.01,
        "sigma_max": 20.0,
        "mended_below": 1000.0,
        "rho": 7.0,
        "guidance": 1.0,
        "guide": "unlabelled",
        "guided_sigma": (),
        "start": "noise",
    }
    return SigmaSamplerSpec(kind=cast(Any, kind), steps=steps, **{**plain, **changes})


def unled(denoise: Predict) -> PredictInParts:
    """A denoiser to which guidance adds nothing."""

    def look(x: Tensor, level: float) -> tuple[Tensor, None]:
        return denoise(x, level), None

    return look
