"""Bounds and importance-sampled likelihoods of a model of data, each test point for itself; all in nats."""

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
from nfbench.records.cells import Metric
from nfbench.specification.config import Evaluation
from nfbench.targets.contract import LatentVariableModel
from nfbench.training.objective import Inference

Metrics = dict[str, Metric]

# What is held at once, on a CPU so little that its caches keep it: bytes of the target's numbers, and numbers of z.
_BYTES = {"cpu": 2**23, "cuda": 2**30}
_NUMBERS = {"cpu": 2**18, "cuda": 2**23}
_ALIGNED = 64


@dataclass(frozen=True)
class Observed:
    """Observations `x (n, pixels)`, what the encoder says of them `features (n, F)`, and their places in the data."""

    x: Tensor
    features: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def split(self, length: int) -> Iterator["Observed"]:
        """Parts of at most so many data points."""
        return map(Observed, *(torch.split(part, length) for part in (self.x, self.features, self.places)))

    def spread(self, num: int | None) -> "Observed":
        """`num` data points evenly spaced, for files may be sorted by what they show; None: all."""
        if num is None or num >= len(self):
            return self
        chosen = torch.arange(num, device=self.x.device) * len(self) // num
        return Observed(self.x[chosen], self.features[chosen], self.places[chosen])


def observed(model: Inference, target: LatentVariableModel) -> Observed:
    """The test data, where the model is; each data point is encoded this once."""
    x = target.splits().test.to(*noise.place(model))
    features = torch.cat([target.features(part) for part in torch.split(x, _rows(target, x))])
    return Observed(x, features, torch.arange(len(x), device=x.device))


def log_weights(model: Inference, target: LatentVariableModel, noise: Tensor, data: Observed) -> Tensor:
    """`noise (S, B, N)` and B data points `-> ln w = ln p(x, z) - ln q(z|x) (S, B)` in float64.

    Computed in pieces of draws and data points, which decide nothing but time and memory.
    """

    def log_weight(noise: Tensor, data: Observed) -> Tensor:
        def log_joint(z: Tensor) -> Tensor:
            return _piecewise(lambda z, part: target.log_joint(z, part.x), z, data, _rows(target, z))

        z, log_q = model.posterior(noise, data.features, log_joint)
        log_w: Tensor = log_joint(z).double() - log_q.double()
        return log_w

    return _piecewise(log_weight, noise, data, max(1, _NUMBERS[noise.device.type] // noise.shape[-1]))


def _piecewise(function: Callable[[Tensor, Observed], Tensor], draws: Tensor, data: Observed, rows: int) -> Tensor:
    """`draws (S, B, ...) -> (S, B)`, at most `rows` of the S B draws at once, all of a data point's where they fit."""
    points = max(1, rows // len(draws))
    columns = [
        torch.cat([function(piece, part) for piece in torch.split(column, rows)])
        for column, part in zip(torch.split(draws, points, 1), data.split(points), strict=True)
    ]
    return torch.cat(columns, 1)


def _rows(target: LatentVariableModel, like: Tensor) -> int:
    """Draws that the target takes at once: a multiple of 64, for rows of memory that begin anywhere cost half more."""
    rows = _BYTES[like.device.type] // (target.width * like.itemsize)
    return rows // _ALIGNED * _ALIGNED or max(1, rows)


def evaluate_data(
    model: Inference, target: LatentVariableModel, data: Observed, config: Evaluation, seed: int
) -> tuple[Metrics, Arrays]:
    """Metrics over the data, and single data points' values as arrays.

    - `free_energy`: F from `draws` draws a point.
    - `nll`, `gap`, `ess`: -ln p(x) from `importance_draws` draws, F - nll, and how many draws their weights are worth.
    - `nll_long`, `khat_bad`: -ln p(x) from `long_draws` draws of each of `long_points` evenly spaced points, and the
      share of these whose PSIS k-hat is above 0.7; where the configuration asks for them.
    """
    metrics, arrays = _short(model, target, data, config, seed)
    if config.long_draws is not None:
        found = of_long_draws(model, target, data.spread(config.long_points), config.long_draws, seed)
        metrics, arrays = metrics | found[0], arrays | found[1]
    return metrics, arrays


def _short(
    model: Inference, target: LatentVariableModel, data: Observed, config: Evaluation, seed: int
) -> tuple[Metrics, Arrays]:
    """As many data points share a stream as `noise.BLOCK` has room for, as in all records so far."""
    parts: dict[str, list[Estimate]] = {"free_energy": [], "nll": [], "ess": []}
    draws = max(config.draws, config.importance_draws)
    length = max(1, noise.BLOCK // (draws * model.posterior.noise_dim))

    def drawn(part: Observed, draws: int, *names: str | int) -> Tensor:
        return log_weights(model, target, torch.cat(list(noise.blocks(model, draws, len(part), seed, *names))), part)

    for index, part in enumerate(data.split(length)):
        parts["free_energy"].append(importance_weights.bound(drawn(part, config.draws, index)))
        importance = drawn(part, config.importance_draws, index, "importance")
        parts["nll"].append(importance_weights.nll(importance))
        parts["ess"].append(importance_weights.ess(importance))
    found = {name: importance_weights.join(estimates) for name, estimates in parts.items()}
    metrics = {name: _metric(estimate) for name, estimate in found.items()}
    metrics["gap"] = _difference(metrics["free_energy"], metrics["nll"])
    return metrics, {f"example_{name}": _single(estimate.value) for name, estimate in found.items()}


def of_long_draws(
    model: Inference, target: LatentVariableModel, data: Observed, draws: int, seed: int
) -> tuple[Metrics, Arrays]:
    """The long estimate's metrics and arrays; every data point has a stream of its own, from its place in `data`."""
    curves, khats = [], []
    length = max(1, _NUMBERS[data.x.device.type] // (draws * model.posterior.noise_dim))
    for part in data.split(length):
        drawn = [noise.of_point(model, draws, seed, "long", place) for place in part.places.tolist()]
        log_weight = log_weights(model, target, torch.stack(drawn, 1), part)
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
    value, error = estimate.over_data()
    return Metric(value=float(value), se=float(error))


def _difference(one: Metric, other: Metric) -> Metric:
    """Of two estimates with independent draws."""
    return Metric(value=one.value - other.value, se=math.hypot(one.se or 0.0, other.se or 0.0))


def _single(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
