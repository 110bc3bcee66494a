"""The scales that give a network inputs, targets and losses of unit size at every noise level (Karras et al. 2022)."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Preconditioning:
    """D(x; sigma) = c_skip * x + c_out * F(c_in * x; c_noise) (Karras et al. 2022, equation 7 and table 1).

    Attributes:
        c_skip: shape (B, 1, 1, 1).
        c_out: shape (B, 1, 1, 1).
        c_in: shape (B, 1, 1, 1).
    """

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor


def precondition(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """The scales of Karras et al. 2022, table 1; what they call c_noise is :func:`c_noise`.

    Args:
        sigma: noise level, above 0, shape (B,).
        sigma_data: standard deviation of the clean, encoded pixels.
    """
    s = sigma.view(-1, 1, 1, 1)
    total = s.square() + sigma_data**2
    return Preconditioning(
        c_skip=sigma_data**2 / total,
        c_out=s * sigma_data / total.sqrt(),
        c_in=total.rsqrt(),
    )


def c_noise(sigma: Tensor) -> Tensor:
    """What a network is told about noise levels of shape (B,): ln(sigma) / 4 (Karras et al. 2022, table 1)."""
    return sigma.log() / 4.0
