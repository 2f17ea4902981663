"""A posterior beside draws of its target, exact or of another method: what draws of q alone cannot see.

A mode that q misses leaves everything that comes from draws of q as good as if it were not there. Draws of p fall into
it. Each distance stands beside its floor: the same number for two halves of the reference draws, which q itself would
reach by being exact.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor

from nfbench.evaluation import noise, two_sample
from nfbench.evaluation.two_sample import Draws, Value
from nfbench.foundation.randomness import stream
from nfbench.foundation.tensors import evenly_spaced
from nfbench.records.cells import Metric
from nfbench.records.measures import FLOOR
from nfbench.targets.contract import Target
from nfbench.training.objective import Inference

FEWEST = 100  # reference draws: fewer tell nothing

Distance = Callable[[Draws, Draws], Value]


def reference_draws(target: Target, num: int, seed: int) -> Tensor | None:
    """Draws of a target's density: stored ones of another method, else exact ones.

    Args:
        target: a density.
        num: the most draws; of more stored ones as many evenly spaced ones are taken.
        seed: of exact draws, and of the order.

    Returns:
        (n, D) on the CPU, in an order drawn anew, so that halves of them have draws of all chains; None where there are
        none or the density has no normaliser.
    """
    if target.box is not None:
        return None
    stored = target.reference()
    if stored is None and not target.has_sampler:
        return None
    draws = target.sample(num, stream(seed, "reference")) if stored is None else stored
    if len(draws) > num:
        draws = draws[evenly_spaced(num, len(draws))]
    order = torch.randperm(len(draws), generator=stream(seed, "reference", "order"))
    return draws.detach().cpu()[order]


def evaluate_reference(model: Inference, draws: int, seed: int) -> dict[str, Metric]:
    """Compare a posterior of one density with draws of its target.

    Args:
        model: target and posterior.
        draws: the most reference draws; half as many draws of q are compared with one half of them.
        seed: of all draws.

    Returns:
        - `eubo` in nats and `forward_ess` as a share, where q has a density at points;
        - `mean_error`, `log_sd_ratio`, `log_sd_error`, `sliced_w2`, `mmd2` and `c2st`, each with its floor.

        Empty where the target has fewer than 100 draws to compare with.
    """
    reference = reference_draws(model.target, draws, seed)
    if reference is None or len(reference) < FEWEST:
        return {}
    device, dtype = noise.device_and_dtype(model)
    metrics = {}
    with torch.no_grad():
        if model.posterior.has_density:
            metrics = forward(_log_weights(model, reference.to(device, dtype)), model.target.log_z)
        half = len(reference) // 2
        blocks = noise.blocks(model, half, 1, seed, "reference")
        z = torch.cat([model.posterior(block, None, model.target.log_joint)[0] for block in blocks]).squeeze(1)
    first, second = (part.double().numpy() for part in (reference[:half], reference[half : 2 * half]))
    return metrics | compare(z.double().cpu().numpy(), first, second, seed)


def forward(log_weight: NDArray[np.float64], log_z: float | None = None) -> dict[str, Metric]:
    """The evidence upper bound and the forward effective sample size (Blessing et al. 2024, section 3).

    EUBO = E_p[ln p~ - ln q] = ln Z + KL(p||q), and the forward ESS is Z / E_p[w] with w = p~ / q. Without ln Z it is
    1 / (E_p[w] E_p[1 / w]), as E_p[1 / w] = 1 / Z.

    Args:
        log_weight: ln w of draws of p, in nats, (n,).
        log_z: ln Z, where it is known.

    Returns:
        `eubo` in nats, and `forward_ess`, a share from 0 to 1; errors by the delta method.
    """
    root, num = math.sqrt(len(log_weight)), len(log_weight)
    weight = np.exp(log_weight - logsumexp(log_weight)) * num  # over their mean
    log_mean = float(logsumexp(log_weight)) - math.log(num)
    influence = weight
    log_normaliser = log_z
    if log_normaliser is None:
        inverse = np.exp(-log_weight - logsumexp(-log_weight)) * num
        log_normaliser = math.log(num) - float(logsumexp(-log_weight))
        influence = weight + inverse
    share = math.exp(min(log_normaliser - log_mean, 0.0))
    return {
        "eubo": Metric(value=float(log_weight.mean()), se=float(log_weight.std(ddof=1)) / root),
        "forward_ess": Metric(value=share, se=share * float(influence.std(ddof=1)) / root),
    }


def compare(draws: Draws, first: Draws, second: Draws, seed: int) -> dict[str, Metric]:
    """All distances of draws from one half of a reference, each beside that of the other half.

    Args:
        draws: of q, (n, D).
        first: half of the reference, (n, D).
        second: the other half, (n, D).
        seed: of directions and classifiers.

    Returns:
        Name -> distance of `draws` from `first`; the name with ``_floor`` -> that of `second` from `first`.
    """
    first, draws, second = two_sample.standardise(first, draws, second)
    width = two_sample.median_distance(first)
    distances: dict[str, Distance] = {
        "mean_error": two_sample.mean_error,
        "log_sd_ratio": two_sample.log_sd_ratio,
        "log_sd_error": two_sample.log_sd_error,
        "sliced_w2": lambda x, y: two_sample.sliced_w2(x, y, np.random.default_rng(seed)),
        "mmd2": lambda x, y: two_sample.squared_mmd(x, y, width),
        "c2st": lambda x, y: two_sample.c2st(x, y, seed % 2**32),
    }
    metrics: dict[str, Metric] = {}
    for name, distance in distances.items():
        for end, other in (("", draws), (FLOOR, second)):
            if np.isfinite(other).all():
                metrics[name + end] = Metric.model_construct(**distance(other, first)._asdict())
    return metrics


def _log_weights(model: Inference, z: Tensor) -> NDArray[np.float64]:
    """The logarithm of w = p~ / q at points (n, D)."""
    parts = torch.split(z.unsqueeze(1), max(1, noise.BLOCK // model.target.dim))
    values = [(model.target.log_joint(part).double() - model.posterior.log_prob(part).double()) for part in parts]
    log_weight: NDArray[np.float64] = torch.cat(values).squeeze(1).cpu().numpy()
    return log_weight
