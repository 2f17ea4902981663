"""Bounds and importance-sampled likelihoods of a model of data, for each test point; all in nats."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nfbench.evaluation import importance_weights, noise
from nfbench.evaluation.density_grid import Arrays
from nfbench.evaluation.importance_weights import Estimate
from nfbench.evaluation.psis import UNRELIABLE, khat
from nfbench.foundation.tensors import evenly_spaced
from nfbench.records.cells import Metric
from nfbench.specification.config import Evaluation
from nfbench.targets.contract import LatentVariableModel
from nfbench.training.objective import Inference

Metrics = dict[str, Metric]

# Sizes of one piece of the computation, small enough for a CPU's caches: bytes of the target's activations, and
# numbers of z.
_BYTES = {"cpu": 2**23, "cuda": 2**30}
_NUMBERS = {"cpu": 2**18, "cuda": 2**23}
_ALIGNED = 64


@dataclass(frozen=True)
class Observed:
    """Encoded data points.

    Attributes:
        x: observations, shape (n, pixels).
        features: the encoder's features of x, shape (n, F).
        indices: positions of the data points in the data set, shape (n,).
    """

    x: Tensor
    features: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def split(self, length: int) -> Iterator["Observed"]:
        """Split into parts of consecutive data points.

        Args:
            length: the most data points of a part.

        Returns:
            The parts, in order.
        """
        return map(Observed, *(torch.split(part, length) for part in (self.x, self.features, self.indices)))

    def evenly_spaced(self, num: int | None) -> "Observed":
        """Select evenly spaced data points, as data files may be sorted by class.

        Args:
            num: how many; None for all.

        Returns:
            `num` data points, or all where there are fewer.
        """
        if num is None or num >= len(self):
            return self
        chosen = evenly_spaced(num, len(self), self.x.device)
        return Observed(self.x[chosen], self.features[chosen], self.indices[chosen])


def observed(model: Inference, target: LatentVariableModel) -> Observed:
    """Encode the test data once.

    Args:
        model: target and posterior; gives device and dtype.
        target: the model's target.

    Returns:
        All test points, on the model's device.
    """
    x = target.splits().test.to(*noise.device_and_dtype(model))
    features = torch.cat([target.features(part) for part in torch.split(x, _rows(target, x))])
    return Observed(x, features, torch.arange(len(x), device=x.device))


def log_weights(model: Inference, target: LatentVariableModel, noise: Tensor, data: Observed) -> Tensor:
    """Draw z for each data point and compute its log-weights.

    Draws and data points are computed in pieces, whose sizes change time and memory but not the result.

    Args:
        model: target and posterior.
        target: the model's target.
        noise: standard normal, shape (S, B, N).
        data: B data points.

    Returns:
        ln w = ln p(x, z) - ln q(z|x) in nats, shape (S, B), in float64.
    """

    def log_weight(noise: Tensor, data: Observed) -> Tensor:
        def log_joint(z: Tensor) -> Tensor:
            return _piecewise(lambda z, part: target.log_joint(z, part.x), z, data, _rows(target, z))

        z, log_q = model.posterior(noise, data.features, log_joint)
        log_w: Tensor = log_joint(z).double() - log_q.double()
        return log_w

    return _piecewise(log_weight, noise, data, max(1, _NUMBERS[noise.device.type] // noise.shape[-1]))


def _piecewise(function: Callable[[Tensor, Observed], Tensor], draws: Tensor, data: Observed, rows: int) -> Tensor:
    """Apply a function to at most `rows` of the S B draws at a time, to all of a data point's at once where they fit.

    Args:
        function: draws (s, b, ...), b data points -> (s, b).
        draws: noise or z, shape (S, B, ...).
        data: B data points.
        rows: the most draws of a piece.

    Returns:
        The values, shape (S, B).
    """
    points = max(1, rows // len(draws))
    columns = [
        torch.cat([function(piece, part) for piece in torch.split(column, rows)])
        for column, part in zip(torch.split(draws, points, 1), data.split(points), strict=True)
    ]
    return torch.cat(columns, 1)


def _rows(target: LatentVariableModel, like: Tensor) -> int:
    """The most draws that the target is called with: a multiple of 64, as unaligned rows of memory cost half more."""
    rows = _BYTES[like.device.type] // (target.width * like.itemsize)
    return rows // _ALIGNED * _ALIGNED or max(1, rows)


def evaluate_data(
    model: Inference, target: LatentVariableModel, data: Observed, config: Evaluation, seed: int
) -> tuple[Metrics, Arrays]:
    """Compute the metrics of a model of data, and the values of single data points.

    - `free_energy`: F from `draws` draws for each data point.
    - `nll`, `gap`, `ess`: -ln p(x) from `importance_draws` draws, F - nll, and the effective sample size.
    - `nll_long`, `khat_bad`: -ln p(x) from `long_draws` draws of each of `long_points` evenly spaced points, and the
      share of these whose PSIS k-hat is above 0.7; where the configuration asks for them.

    Args:
        model: target and posterior.
        target: the model's target.
        data: encoded data points.
        config: numbers of draws.
        seed: seed of the draws.

    Returns:
        The metrics, means over the data points; and arrays `example_{metric}`, float32 of shape (n,), with the curve of
        the long estimate.
    """
    metrics, arrays = _short(model, target, data, config, seed)
    if config.long_draws is not None:
        some_data = data.evenly_spaced(config.long_points)
        long_metrics, long_arrays = evaluate_long_draws(model, target, some_data, config.long_draws, seed)
        metrics, arrays = metrics | long_metrics, arrays | long_arrays
    return metrics, arrays


def _short(
    model: Inference, target: LatentVariableModel, data: Observed, config: Evaluation, seed: int
) -> tuple[Metrics, Arrays]:
    """The metrics that every evaluation has; as many data points share a stream as fit into `noise.BLOCK` numbers.

    Stored records depend on this sharing, so that it must not change.
    """
    parts: dict[str, list[Estimate]] = {"free_energy": [], "nll": [], "ess": []}
    draws = max(config.draws, config.importance_draws)
    length = max(1, noise.BLOCK // (draws * model.posterior.noise_dim))

    def weights(part: Observed, draws: int, *names: str | int) -> Tensor:
        return log_weights(model, target, torch.cat(list(noise.blocks(model, draws, len(part), seed, *names))), part)

    for index, part in enumerate(data.split(length)):
        parts["free_energy"].append(importance_weights.bound(weights(part, config.draws, index)))
        importance = weights(part, config.importance_draws, index, "importance")
        parts["nll"].append(importance_weights.nll(importance))
        parts["ess"].append(importance_weights.ess(importance))
    joined = {name: importance_weights.join(estimates) for name, estimates in parts.items()}
    metrics = {name: _metric(estimate) for name, estimate in joined.items()}
    metrics["gap"] = _difference(metrics["free_energy"], metrics["nll"])
    return metrics, {f"example_{name}": _single(estimate.value) for name, estimate in joined.items()}


def evaluate_long_draws(
    model: Inference, target: LatentVariableModel, data: Observed, draws: int, seed: int
) -> tuple[Metrics, Arrays]:
    """Estimate -ln p(x) from many draws, with the diagnosis of their weights.

    Every data point has a random stream of its own, named by its index, so that it does not depend on the others.

    Args:
        model: target and posterior.
        target: the model's target.
        data: the data points to evaluate.
        draws: S for each data point.
        seed: seed of the draws.

    Returns:
        The metrics `nll_long` in nats and `khat_bad`, the share of data points with k-hat above 0.7; and the arrays
        `example_nll_long` and `example_khat`, shape (n,), and the curve over numbers of draws, `curve_draws`,
        `curve_nll` and `curve_nll_se`, shape (J,).
    """
    curves, khats = [], []
    length = max(1, _NUMBERS[data.x.device.type] // (draws * model.posterior.noise_dim))
    for part in data.split(length):
        columns = [noise.of_point(model, draws, seed, "long", index) for index in part.indices.tolist()]
        log_weight = log_weights(model, target, torch.stack(columns, 1), part)
        curves.append(importance_weights.curve(log_weight))
        khats.append(khat(log_weight.T.cpu().numpy()))
    curve, shapes = importance_weights.join(curves), np.concatenate(khats)
    last = Estimate(curve.value[-1], curve.variance[-1])
    bad = math.nan if np.isnan(shapes).any() else float((shapes > UNRELIABLE).mean())
    arrays = {"example_nll_long": _single(last.value), "example_khat": shapes.astype(np.float32)}
    return {"nll_long": _metric(last), "khat_bad": Metric(value=bad)}, arrays | _curve(curve, draws)


def _curve(curve: Estimate, draws: int) -> Arrays:
    """The curve over all data points; none where it is not finite."""
    value, error = curve.over_data()
    if not bool(value.isfinite().all()):
        return {}
    return {
        "curve_draws": np.array(importance_weights.lengths(draws)),
        "curve_nll": _single(value),
        "curve_nll_se": _single(error),
    }


def _metric(estimate: Estimate) -> Metric:
    """The mean over data points, with its standard error."""
    value, error = estimate.over_data()
    return Metric(value=float(value), se=float(error))


def _difference(minuend: Metric, subtrahend: Metric) -> Metric:
    """The difference of two estimates with independent draws."""
    se = math.hypot(minuend.se or 0.0, subtrahend.se or 0.0)
    return Metric(value=minuend.value - subtrahend.value, se=se)


def _single(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
