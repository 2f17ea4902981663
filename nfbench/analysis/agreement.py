"""How far restarts of one family are from each other: in moments, in free energy, in the modes that they found."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.float64]

_ROUNDING = 1e-5  # relative; of numbers that were float32 once, with room
DIP = 0.5  # nats by which ln p falls and rises again between two points of different modes


class Agreement(NamedTuple):
    """How far restarts are from each other.

    Attributes:
        moments: the largest difference of two restarts in any coordinate: of means in standard deviations, or of
            ln sd; 0 where they agree exactly.
        free_energy: largest F minus smallest, in nats.
    """

    moments: float
    free_energy: float


def agreement(means: Sequence[_Numbers], sds: Sequence[_Numbers], free_energies: Sequence[float]) -> Agreement:
    """Compare restarts of one family by the moments of q and by F.

    Args:
        means: of q in each coordinate, (C,) for each restart.
        sds: standard deviations of q, likewise.
        free_energies: F in nats, one for each restart.

    Returns:
        The largest differences; infinite where a restart has no finite moments, 0 for a single one.

    >>> agreement([np.zeros(2), np.ones(2)], [np.ones(2), np.ones(2)], [0.5, 0.75])
    Agreement(moments=1.0, free_energy=0.25)
    """
    mean, sd = np.array(means), np.array(sds)
    if not (np.isfinite(mean).all() and np.isfinite(sd).all()):
        return Agreement(math.inf, math.inf)
    apart = in_sds(mean.max(0), mean.min(0), np.sqrt(np.square(sd).mean(0)))
    wider = log_ratio(sd.max(0), sd.min(0))
    spread = max(free_energies) - min(free_energies)
    return Agreement(float(max(apart.max(), wider.max())), spread)


def in_sds(ours: _Numbers, theirs: _Numbers, sd: _Numbers) -> _Numbers:
    """How far means are apart, in standard deviations of each coordinate.

    Args:
        ours: (C,).
        theirs: (C,).
        sd: (C,); 0 where a coordinate is constant, as half of a Cholesky factor is.

    Returns:
        At least 0, (C,). Of a constant coordinate 0 where the means are equal up to rounding, else infinite.

    >>> in_sds(np.array([3.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0]), np.array([4.0, 0.0, 0.0])).tolist()
    [0.5, 0.0, inf]
    """
    apart = np.abs(ours - theirs)
    same = apart <= np.where(sd > 0, 0.0, _ROUNDING * np.maximum(np.abs(ours), np.abs(theirs)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(same, 0.0, apart / sd)


def log_ratio(sd: _Numbers, other: _Numbers) -> _Numbers:
    """How far standard deviations are apart, |ln(sd / other)|.

    Args:
        sd: (C,).
        other: (C,).

    Returns:
        (C,); 0 where both are 0, infinite where one of them is.

    >>> log_ratio(np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, inf]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd == other, 0.0, np.abs(np.log(sd) - np.log(other)))


def modes(dips: _Numbers, dip: float = DIP) -> NDArray[np.int64]:
    """Put points into modes: two are of one mode where ln p does not fall between them.

    Args:
        dips: symmetric (M, M), in nats: by how much ln p falls on the way from one point to the other below the lower
            one of both, at most.
        dip: how much of it is no valley.

    Returns:
        The number of each point's mode, (M,), from 0 on: points that a chain of such pairs connects have one number.

    >>> modes(np.array([[0.0, 0.1, 9.0], [0.1, 0.0, 9.0], [9.0, 9.0, 0.0]])).tolist()
    [0, 0, 1]
    """
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(dips <= dip, directed=False)
    return np.asarray(labels, dtype=np.int64)
