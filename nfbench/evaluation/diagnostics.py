"""Can an approximation of a density be trusted: effective sample size, k-hat, reweighted moments, restarts.

All of them come from draws of q and their weights w = p~(z) / q(z), so all are blind to what q never draws: a mode that
no draw falls into leaves the weights, k-hat and the gap as good as if it were not there. Agreement of restarts is the
one that may see it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from nfbench.evaluation import noise
from nfbench.evaluation.psis import khat_threshold, smoothed
from nfbench.records.cells import Metric
from nfbench.training.objective import Inference

FEWEST = 100  # draws of a diagnosis

_Numbers = NDArray[np.float64]


class Moments(NamedTuple):
    """Means and standard deviations of each coordinate, with Monte-Carlo standard errors (MCSE).

    Attributes:
        mean: (C,).
        mean_se: MCSE of the means, (C,).
        sd: (C,).
        sd_se: MCSE of the standard deviations, (C,).
    """

    mean: _Numbers
    mean_se: _Numbers
    sd: _Numbers
    sd_se: _Numbers


class Diagnosis(NamedTuple):
    """What draws of q say of q.

    Attributes:
        draws: S.
        free_energy: F in nats; not finite where a draw has no finite weight.
        khat: shape of the weights' tail; -inf where q is exact.
        threshold: the k-hat up to which S draws can be trusted.
        ess: effective sample size of the smoothed weights, from 1 to S.
        gap: F + ln mean w in nats, from the smoothed weights: an estimate of KL(q||p), and so of the most that a richer
            family can gain. Too small where k-hat is above its threshold or q misses a mode.
        plain: moments of q.
        reweighted: moments of p, from the smoothed weights.
    """

    draws: int
    free_energy: Metric
    khat: float
    threshold: float
    ess: float
    gap: Metric
    plain: Moments
    reweighted: Moments

    @property
    def reliable(self) -> bool:
        """Whether k-hat is at most its threshold."""
        return self.khat <= self.threshold


class Agreement(NamedTuple):
    """How far restarts are from each other.

    Attributes:
        moments: the largest difference of two restarts in any coordinate: of means in standard deviations, or of
            ln sd; 0 where they agree exactly.
        free_energy: largest F minus smallest, in nats.
    """

    moments: float
    free_energy: float


def diagnose(model: Inference, draws: int = 10_000, seed: int = 0, constrain: Any = None) -> Diagnosis:
    """Draw from a posterior of one density and say what the draws tell of it.

    Args:
        model: a target without data, and its posterior.
        draws: S, at least 100.
        seed: seed of the draws.
        constrain: ``(n, D) -> (n, C)``, the space of the moments; None: that of z.

    Returns:
        The diagnosis.

    >>> import nfbench
    >>> fitted = nfbench.fit("gaussian", "normal:dim=2", updates=200)
    >>> diagnose(Inference(fitted.target, fitted.posterior), 2000).reliable
    True
    """
    points, weights = [], []
    with torch.no_grad():
        for block in noise.blocks(model, max(draws, FEWEST), 1, seed, "diagnosis"):
            z, log_q = model.posterior(block, None, model.target.log_joint)
            weights.append((model.target.log_joint(z).double() - log_q.double()).squeeze(1))
            points.append(z.squeeze(1) if constrain is None else constrain(z.squeeze(1)))
    return of_weights(torch.cat(points).double().cpu().numpy(), torch.cat(weights).cpu().numpy())


def of_weights(z: _Numbers, log_weight: _Numbers) -> Diagnosis:
    """The diagnosis of draws with their weights.

    Args:
        z: (S, C).
        log_weight: ln p~(z) - ln q(z) in nats, (S,).

    Returns:
        The diagnosis; without a finite weight, or with one that is NaN or +inf, k-hat, gap and moments are NaN.
    """
    num, threshold = len(log_weight), khat_threshold(len(log_weight))
    if not np.isfinite(log_weight.max()):
        nothing = Metric.model_construct(value=math.nan, se=None)
        unknown = Moments(*(np.full(z.shape[1], np.nan) for _ in range(4)))
        return Diagnosis(num, nothing, math.nan, threshold, math.nan, nothing, unknown, unknown)
    log_w, khat = smoothed(log_weight)
    total = float(logsumexp(log_w))
    weight = np.exp(log_w - total)  # they sum to one
    free_energy, error = float(-log_weight.mean()), float(log_weight.std(ddof=1)) / math.sqrt(num)
    gap = total - math.log(num) + free_energy
    return Diagnosis(
        num,
        Metric.model_construct(value=free_energy, se=error),
        khat,
        threshold,
        float(1 / np.square(weight).sum()),
        # Of ln mean w - mean ln w by the delta method: the two parts share their draws.
        Metric.model_construct(value=gap, se=float(np.std(num * weight - log_weight, ddof=1)) / math.sqrt(num)),
        _moments(z, np.full(num, 1 / num)),
        _moments(z, weight),
    )


def agreement(diagnoses: Sequence[Diagnosis]) -> Agreement:
    """Compare restarts of one family by the moments of q and by F.

    Args:
        diagnoses: one for each restart.

    Returns:
        The largest differences; infinite where a restart has no finite moments, 0 for a single one.

    >>> one = of_weights(np.random.default_rng(0).normal(size=(1000, 2)), np.zeros(1000))
    >>> agreement([one, one])
    Agreement(moments=0.0, free_energy=0.0)
    """
    means = np.array([each.plain.mean for each in diagnoses])
    sds = np.array([each.plain.sd for each in diagnoses])
    energies = [each.free_energy.value for each in diagnoses]
    if not (np.isfinite(means).all() and np.isfinite(sds).all()):
        return Agreement(math.inf, math.inf)
    width = np.sqrt(np.square(sds).mean(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.ptp(means, axis=0) / width
        wider = np.ptp(np.log(sds), axis=0)
    return Agreement(float(np.nan_to_num(max(apart.max(), wider.max()))), max(energies) - min(energies))


def _moments(z: _Numbers, weight: _Numbers) -> Moments:
    """Self-normalised moments; the MCSE is the delta method's, sqrt(sum w^2 (f - mean f)^2) (Owen 2013, eq. 9.8)."""
    mean = weight @ z
    centred = z - mean
    variance = weight @ np.square(centred)
    squared = np.square(weight)
    mean_se = np.sqrt(squared @ np.square(centred))
    variance_se = np.sqrt(squared @ np.square(np.square(centred) - variance))
    sd = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Moments(mean, mean_se, sd, variance_se / (2 * sd))
