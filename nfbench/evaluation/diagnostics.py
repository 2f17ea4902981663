"""Can an approximation of a density be trusted: effective sample size, k-hat, reweighted moments.

All of them come from draws of q and their weights w = p~(z) / q(z), so all are blind to what q never draws: a mode that
no draw falls into leaves the weights, k-hat and the gap as good as if it were not there. Agreement of restarts
(`nfbench.analysis.agreement`) may see it, and draws of the target (`nfbench.evaluation.reference`) do.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor

from nfbench.analysis.agreement import in_sds, log_ratio
from nfbench.evaluation import noise
from nfbench.evaluation.density_grid import Arrays
from nfbench.evaluation.psis import RESOLUTION, khat_threshold, smoothed
from nfbench.records.cells import Metric
from nfbench.training.objective import Inference

FEWEST = 100  # draws of a diagnosis

_EPS = float(np.finfo(np.float64).eps)
_ROUNDINGS = 4  # units in the last place by which a sum of a few terms may be off

_Numbers = NDArray[np.float64]


class Moments(NamedTuple):
    """Means and standard deviations of each coordinate, with Monte-Carlo standard errors (MCSE).

    A coordinate that is the same in all draws, up to rounding, has that mean, and 0 for the rest.

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
    points, weights, largest, eps = [], [], 1.0, 0.0
    with torch.no_grad():
        for block in noise.blocks(model, max(draws, FEWEST), 1, seed, "diagnosis"):
            z, log_q = model.posterior(block, None, model.target.log_joint)
            log_p = model.target.log_joint(z)
            weights.append((log_p.double() - log_q.double()).squeeze(1))
            points.append(z.squeeze(1) if constrain is None else constrain(z.squeeze(1)))
            eps = eps_of(log_p, log_q, points[-1])
            largest = max(largest, *(float(each.abs().nan_to_num(0.0, 0.0).max()) for each in (log_p, log_q)))
    resolution = max(RESOLUTION, _ROUNDINGS * eps * largest)
    return of_weights(torch.cat(points).double().cpu().numpy(), torch.cat(weights).cpu().numpy(), eps, resolution)


def of_weights(z: _Numbers, log_weight: _Numbers, eps: float = _EPS, resolution: float = RESOLUTION) -> Diagnosis:
    """The diagnosis of draws with their weights.

    Args:
        z: (S, C).
        log_weight: ln p~(z) - ln q(z) in nats, (S,).
        eps: of the dtype that z was computed in.
        resolution: nats below which log-weights differ by rounding.

    Returns:
        The diagnosis; without a finite weight, or with one that is NaN or +inf, k-hat, gap and moments are NaN.
    """
    num, threshold = len(log_weight), khat_threshold(len(log_weight))
    if not np.isfinite(log_weight.max()):
        nothing = Metric.model_construct(value=math.nan, se=None)
        unknown = Moments(*(np.full(z.shape[1], np.nan) for _ in range(4)))
        return Diagnosis(num, nothing, math.nan, threshold, math.nan, nothing, unknown, unknown)
    log_w, khat = smoothed(log_weight, resolution)
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
        moments(z, eps=eps),
        moments(z, weight, eps),
    )


def evaluate_weights(model: Inference, draws: int, seed: int) -> tuple[dict[str, Metric], Arrays]:
    """The diagnosis of a posterior of one density as metrics of a record.

    Args:
        model: a target without data, and its posterior.
        draws: S.
        seed: seed of the draws.

    Returns:
        `khat`, `khat_threshold`, `psis_ess` in draws, `psis_gap` in nats, and the largest shifts of moments by
        reweighting, `mean_shift` and `log_sd_shift`; and the moments, in the target's constrained space where it has
        one: arrays (C,) ``reweighted_mean``, ``reweighted_mean_se``, ``reweighted_sd``, ``reweighted_sd_se``,
        ``posterior_mean`` and ``posterior_sd``.
    """
    diagnosis = diagnose(model, draws, seed, model.target.constrain)
    plain, better = diagnosis.plain, diagnosis.reweighted
    means, sds = in_sds(better.mean, plain.mean, better.sd), log_ratio(better.sd, plain.sd)
    varying = np.where(better.sd > 0, better.sd, 1.0)
    mean_errors, sd_errors = better.mean_se / varying, better.sd_se / varying
    metrics = {
        "khat": Metric.model_construct(value=diagnosis.khat, se=None),
        "khat_threshold": Metric(value=diagnosis.threshold),
        "psis_ess": Metric.model_construct(value=diagnosis.ess, se=None),
        "psis_gap": diagnosis.gap,
        "mean_shift": _largest(means, mean_errors),
        "log_sd_shift": _largest(sds, sd_errors),
    }
    arrays = {f"reweighted_{name}": values for name, values in better._asdict().items()}
    arrays |= {"posterior_mean": plain.mean, "posterior_sd": plain.sd}
    known = all(np.isfinite(values).all() for values in arrays.values())
    return metrics, arrays if known else {}


def eps_of(*tensors: Tensor) -> float:
    """The relative rounding of the coarsest of several tensors; numbers that are not floating have none.

    >>> eps_of(torch.zeros(2), torch.zeros(2, dtype=torch.float64)) == torch.finfo(torch.float32).eps
    True

    Args:
        tensors: of any dtype.

    Returns:
        The largest machine epsilon, at least that of float64.
    """
    return max([_EPS, *(torch.finfo(each.dtype).eps for each in tensors if each.is_floating_point())])


def _largest(values: _Numbers, errors: _Numbers) -> Metric:
    place = int(np.argmax(values))  # NaN where one is NaN
    return Metric.model_construct(value=float(values[place]), se=float(errors[place]))


def moments(z: _Numbers, weight: _Numbers | None = None, eps: float = _EPS) -> Moments:
    """Self-normalised moments; the MCSE is the delta method's, sqrt(sum w^2 (f - mean f)^2) (Owen 2013, eq. 9.8).

    Args:
        z: (S, C).
        weight: of each draw, with sum 1, (S,); None: equal weights.
        eps: of the dtype that z was computed in.

    Returns:
        The moments of each coordinate.
    """
    weight = np.full(len(z), 1 / len(z)) if weight is None else weight
    constant = np.ptp(z, axis=0) <= 2 * _ROUNDINGS * eps * np.abs(z).max(0)
    mean = np.where(constant, z[0], weight @ z)
    centred = np.where(constant, 0.0, z - mean)
    variance = weight @ np.square(centred)
    squared = np.square(weight)
    mean_se = np.sqrt(squared @ np.square(centred))
    variance_se = np.sqrt(squared @ np.square(np.square(centred) - variance))
    sd = np.sqrt(variance)
    return Moments(mean, mean_se, sd, variance_se / np.where(sd > 0, 2 * sd, 1.0))
