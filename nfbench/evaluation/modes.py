"""The modes of a density that fitted posteriors have found: draws climb ln p, and valleys between their ends count.

What no draw of any restart comes near is not found. The count is of places where restarts are, not of those there are.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nfbench.analysis.agreement import modes
from nfbench.evaluation import noise
from nfbench.training.objective import Inference
from nfbench.training.optimizers import Adam

STARTS = 8  # draws of each restart that climb
_STEPS = 500
_RATE = 0.1  # of Adam, in standard deviations of the draws
_POINTS = 32  # between two ends, at which ln p is looked at


def modes_found(models: Sequence[Inference], seed: int = 0) -> list[int]:
    """Count the modes that each of several posteriors of one density has draws in.

    From 8 draws of each posterior ln p is climbed by Adam. Two ends lie in different modes where, on the straight line
    between them, ln p falls by more than half a nat below the lower one.

    Args:
        models: one target, which all share or have copies of, each with a posterior of its own.
        seed: of the draws.

    Returns:
        The number of distinct modes of each posterior, and at the end that of all of them together.
    """
    target = models[0].target
    starts = []
    for place, model in enumerate(models):
        (block,) = noise.blocks(model, STARTS, 1, seed, "modes", place)
        with torch.no_grad():
            starts.append(model.posterior(block, None, model.target.log_joint)[0].squeeze(1))
    ends = _climb(models[0], torch.cat(starts))
    finite = ends.isfinite().all(1) & target.log_joint(ends.unsqueeze(1)).squeeze(1).isfinite()
    labels = np.full(len(ends), -1)
    places = finite.nonzero().squeeze(1).cpu().numpy()
    if len(places):
        labels[places] = modes(_dips(models[0], ends[finite]))
    each = np.split(labels, len(models))
    return [len(set(part[part >= 0])) for part in (*each, labels)]


def _climb(model: Inference, starts: Tensor) -> Tensor:
    """The ends of climbing ln p from points (M, D); the steps shrink to nothing."""
    scale = starts.std(0).clamp_min(torch.finfo(starts.dtype).tiny)
    moved = torch.zeros_like(starts, requires_grad=True)
    optimizer = Adam([moved], momentum=0.9)
    with torch.enable_grad():
        for step in range(_STEPS):
            value = model.target.log_joint((starts + scale * moved).unsqueeze(1))
            (slope,) = torch.autograd.grad(-value.sum(), moved)
            optimizer.update([slope.nan_to_num(0.0, 0.0, 0.0)], _RATE * (1 - step / _STEPS))
    return (starts + scale * moved).detach()


def _dips(model: Inference, ends: Tensor) -> NDArray[np.float64]:
    """(M, M): how far ln p falls on the straight line between two ends below the lower one."""
    part = torch.linspace(0, 1, _POINTS, dtype=ends.dtype, device=ends.device).view(-1, 1, 1, 1)
    lines = ends + part * (ends.unsqueeze(1) - ends)  # (points, M, M, D)
    with torch.no_grad():
        values = model.target.log_joint(lines.reshape(-1, 1, ends.shape[1])).reshape(lines.shape[:-1])
    lower = torch.minimum(values[0], values[-1])
    dips: NDArray[np.float64] = (lower - values.amin(0)).double().nan_to_num(torch.inf).cpu().numpy()
    return np.maximum(dips, dips.T)
