"""Stein's identity: are draws those of a density? Neither needs to know the other's constant, or how draws were made.

For a density p on all of R^D whose tails fall fast enough, E_p[d ln p / dz_j] = 0 for every j, and
E_p[(z_i - mean_i) d ln p / dz_j] = -1 if i = j and else 0 (Stein 1972; Gorham & Mackey 2015, arXiv:1506.03039). A
density that lacks a Jacobian, takes a standard deviation for a variance, or maps draws by another transform, breaks
them.

What it cannot see: a constant factor, a change that is weak beside the data (a prior of a well determined parameter),
modes that draws have missed.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.posteriors.slope import slope
from nfbench.targets.contract import Target

_CHUNK = 1000  # draws whose gradients are held at once

_Numbers = NDArray[np.float64]


class Stein(NamedTuple):
    """How far the means are from what they should be, in Monte-Carlo standard errors.

    Attributes:
        first: of the scores, (D,).
        second: of the products of coordinates and scores, (D, D); NaN where they were not asked for.
    """

    first: _Numbers
    second: _Numbers

    @property
    def worst(self) -> float:
        """The largest of the D first ones, in absolute value; NaN where a score is not finite."""
        return float(np.abs(self.first).max())

    @property
    def worst_second(self) -> float:
        """The largest of the D^2 second ones, in absolute value."""
        return float(np.abs(self.second).max())


def stein(target: Target, draws: Tensor, chains: int = 1, *, second: bool = True) -> Stein:
    """Test draws against a density by both identities.

    The standard errors count how many independent draws the chains are worth (Vehtari et al. 2021, arXiv:1903.08008),
    by arviz-stats.

    Args:
        target: a density without data points.
        draws: (n, D), the chains one after the other, all of one length.
        chains: how many; 1 for independent draws.
        second: whether the second identity is tested, too, which takes D^2 means.

    Returns:
        The deviations in standard errors: of right draws some are above 2, hardly one above 4.

    Raises:
        InputError: `draws` is no (n, D), or n is no multiple of `chains`.

    >>> from nfbench.targets.build import target
    >>> density = target("correlated")
    >>> draws = density.sample(4000, torch.Generator().manual_seed(0)).double()
    >>> right, shifted, wider = (stein(density, each) for each in (draws, draws + 0.5, 2 * draws))
    >>> right.worst < 4, shifted.worst > 4, wider.worst_second > 4
    (True, True, True)
    """
    if draws.ndim != 2 or draws.shape[1] != target.dim or len(draws) % chains:
        shape = tuple(draws.shape)
        raise InputError(
            f"draws {shape} in {chains} chains: expected (n, D) = (n, {target.dim}), n a multiple of chains"
        )
    with torch.no_grad():
        scores = torch.cat([slope(target.log_joint, part) for part in torch.split(draws.double(), _CHUNK)])
    first = _deviation(scores, chains)
    if not second:
        return Stein(first, np.full((target.dim, target.dim), np.nan))
    centred = draws.double() - draws.double().mean(0)
    products = centred[:, :, None] * scores[:, None, :] + torch.eye(target.dim, dtype=torch.float64)
    return Stein(first, _deviation(products, chains))


def _deviation(values: Tensor, chains: int) -> _Numbers:
    """The means of `values (n, ...)`, which should be 0, divided by their standard errors, (...)."""
    from arviz_stats.base import array_stats

    array = values.numpy().reshape(chains, -1, *values.shape[1:])
    error = array_stats.mcse(array, chain_axis=0, draw_axis=1, method="mean")
    mean = array.mean((0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation: _Numbers = np.where(mean == 0, 0.0, mean / np.asarray(error))  # a score of 0 everywhere is right
    return deviation
