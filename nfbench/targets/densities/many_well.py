"""The many-well: pairs of a double well and a Gaussian, 2^(D/2) modes (Noe et al. 2019; Midgley et al. 2023)."""

import functools
import math
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target

_REACH = 4.0  # beyond it the double well has less than 1e-70 of its mass
_CELLS = 2**15
_NODES = 8


def _even(dim: int) -> int:
    if dim % 2:
        raise ValueError("expected an even number of dimensions")
    return dim


class ManyWell(Target):
    """D/2 independent pairs (x, y) with ln p = x / 2 + 6 x^2 - x^4 - y^2 / 2; x are the first D/2 coordinates.

    ln Z = D/2 (ln Z_x + ln(2 pi) / 2), where Z_x = 11784.5093 is the integral of exp(x / 2 + 6 x^2 - x^4), here by
    Gauss-Legendre quadrature. The right one of the two wells, around x = 1.75, holds 0.844 of the mass.

    Args:
        dim: D, even.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.log_z = dim / 2 * (math.log(float(_masses().sum())) + 0.5 * LOG_2PI)

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        x, y = self.checked(z).chunk(2, -1)
        value: Tensor = (_log_well(x) - 0.5 * y.square()).sum(-1)
        return value

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """Draw by the inverse distribution function of x, tabulated at 32,769 points and linear between them.

        Args:
            num: how many draws.
            generator: of random numbers; draws are on its device.

        Returns:
            (num, D), in torch's default dtype; each x is right to 2.5e-4, the width of a cell.
        """
        pairs = self.dim // 2
        y = torch.randn(num, pairs, generator=generator, device=generator.device)
        uniform = torch.rand(num, pairs, generator=generator, device=generator.device, dtype=torch.float64)
        masses = torch.from_numpy(_masses()).to(generator.device)
        ends = masses.cumsum(0) / masses.sum()
        cell = torch.searchsorted(ends, uniform).clamp(max=_CELLS - 1)
        inside = 1 - (ends[cell] - uniform) * masses.sum() / masses[cell]
        x = -_REACH + (cell + inside) * (2 * _REACH / _CELLS)
        return torch.cat([x.to(y.dtype), y], -1)


@register_target(
    "many-well", label="Many-well (D={dim})", cite="Midgley et al. 2023, Section 4.2; Noe et al. 2019", year=2019
)
def many_well(dim: Annotated[int, Field(ge=2), AfterValidator(_even)] = 32) -> Target:
    """D/2 double wells beside D/2 Gaussian coordinates: 2^(D/2) modes of unequal mass.

    Args:
        dim: latent dimensions D, an even number.

    Returns:
        The target.
    """
    return ManyWell(dim)


def _log_well(x: Tensor) -> Tensor:
    """The logarithm of the density of a double well at `x (...)`, up to a constant, (...)."""
    return 0.5 * x + 6 * x.square() - x.square().square()


@functools.cache
def _masses() -> NDArray[np.float64]:
    """Integrals of a double well over equal cells of [-4, 4], (cells,)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    width = 2 * _REACH / _CELLS
    x = -_REACH + width * (np.arange(_CELLS)[:, None] + 0.5 + 0.5 * nodes)
    masses: NDArray[np.float64] = 0.5 * width * (np.exp(_log_well(torch.from_numpy(x)).numpy()) @ weights)
    return masses
