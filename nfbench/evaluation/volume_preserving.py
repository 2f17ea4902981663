"""The least divergence that volume-preserving maps of a Gaussian can have from a density on the plane.

Such maps move values of the density and leave them as they are: the area where q is above any level is that of the
Gaussian they start from. Of all densities with these areas the closest to p has its high values where p has its own
(Hardy & Littlewood's rearrangement inequality, for E_q[ln p]), so that

    KL(q||p) >= KL(q*||p*),

where q* and p* are the densities as decreasing functions of the area v in which they are higher. For a Gaussian
q*(v) = exp(-v / c) / c with c = 2 pi sqrt(det of its covariance), and the bound is the least over c. Smooth maps reach
it in a limit at best: they cannot part what is connected.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from nfbench.evaluation.density_grid import drawable
from nfbench.foundation.checks import brief, whole_number
from nfbench.foundation.errors import InputError
from nfbench.targets.contract import Target

_MISSING = 1e-3  # of the probability that may lie outside the square
_BELOW, _ABOVE = -5.0, 12.0  # ln c is looked for between these


class Least(NamedTuple):
    """The least divergence and the Gaussian that it starts from.

    Attributes:
        kl: KL(q*||p*) in nats.
        scale: (det of the Gaussian's covariance)^(1/4): its standard deviation if it is round.
    """

    kl: float
    scale: float


def least_divergence(target: Target, half_width: float = 8.0, cells: int = 2000) -> Least:
    """Bound KL(q||p) from below for every volume-preserving map of every Gaussian.

    Args:
        target: a normalised density with D = 2.
        half_width: of the square around 0 on which p is looked at.
        cells: along each axis of the square.

    Returns:
        The bound; its error is that of sums over cells.

    Raises:
        InputError: the square or its cells are no positive numbers; the target is no density on the plane, has no
            known ln Z, or more than a thousandth of its probability lies outside the square.

    >>> from nfbench.targets.build import target
    >>> round(least_divergence(target("u2")).kl, 3)
    0.053
    """
    whole_number("least divergence", "cells", cells, least=1)
    if not (isinstance(half_width, int | float) and 0 < half_width < math.inf):
        raise InputError(f"least divergence: half_width={brief(half_width)}: expected a number above 0")
    if not drawable(target) or target.log_z is None:
        raise InputError("least divergence: expected a density with D = 2 and a known ln Z")
    area = (2 * half_width / cells) ** 2
    log_p = _sorted(target, half_width, cells) - target.log_z
    mass = float(np.exp(log_p).sum() * area)
    if abs(1 - mass) > _MISSING:
        raise InputError(f"least divergence: the square holds {mass:.4f} of the probability; expected a wider one")
    edges = np.arange(len(log_p) + 1) * area
    middles = (edges[1:] + edges[:-1]) / 2

    def divergence(log_c: float) -> float:
        c = math.exp(log_c)
        weights = np.exp(-edges[:-1] / c) * -math.expm1(-area / c)
        outside = math.exp(-edges[-1] / c)  # at least as far off as the last cell
        terms = weights * (-log_c - middles / c - log_p)
        return float(terms.sum() + outside * (-log_c - edges[-1] / c - 1 - log_p[-1]))

    found = scipy.optimize.minimize_scalar(divergence, bounds=(_BELOW, _ABOVE), method="bounded")
    return Least(float(found.fun), math.sqrt(math.exp(float(found.x)) / (2 * math.pi)))


def _sorted(target: Target, half_width: float, cells: int) -> NDArray[np.float64]:
    """Values of ln p~ at the centres of all cells, from the highest down."""
    axis = -half_width + 2 * half_width / cells * (torch.arange(cells, dtype=torch.float64) + 0.5)
    rows = []
    with torch.no_grad():
        for z1 in axis:
            points = torch.stack([z1.expand(cells), axis], -1).unsqueeze(1)
            rows.append(target.log_joint(points).reshape(-1).numpy())
    values: NDArray[np.float64] = np.sort(np.concatenate(rows))[::-1]
    return values
