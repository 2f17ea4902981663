"""Performance profiles: which share of the runs of a posterior lies within a distance of the best."""

import numpy as np
from numpy.typing import NDArray

from nfbench.analysis.scores import Scores

Array = NDArray[np.float64]


def profiles(scores: Scores, distances: Array) -> dict[str, Array]:
    """The share of runs, over targets and seeds, whose excess is at most a distance (Dolan & Moré 2002).

    Every target counts alike, however many seeds it has. The distance is a difference in the metric's unit, not a
    ratio, as a KL of 0 is possible.

    Args:
        scores: of posteriors that have a run on every target.
        distances: (N,) in the metric's unit.

    Returns:
        By posterior the shares (N,), which rise with the distance; a diverged run is never within one.
    """
    found = {}
    for posterior in scores.posteriors:
        shares = [(runs[:, None] <= distances).mean(axis=0) for runs in scores.runs(posterior)]
        found[posterior] = np.asarray(np.mean(shares, axis=0), dtype=float)
    return found
