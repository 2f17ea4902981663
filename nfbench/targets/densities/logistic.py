"""Bayesian logistic regression on data that come with scikit-learn."""

import functools
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.foundation.randomness import stream
from nfbench.specification.registry import register_target
from nfbench.targets.constants import Constants
from nfbench.targets.contract import Target
from nfbench.targets.densities.resampling import resampled

Data = Literal["breast-cancer"]

# By importance sampling: 4,000,000 draws of a Student-t around the mode; its error is 5e-4.
_LOG_Z: dict[Data, float] = {"breast-cancer": -55.2229}


class LogisticRegression(Target):
    """ln p(w, y) = ln N(w; 0, I) + sum_n ln sigmoid(s_n x_n . w) with s_n = 1 where y_n = 1 and else -1.

    Args:
        inputs: x, (N, D), with a column of ones where there is an intercept.
        outcomes: y, (N,) of 0 and 1.
        names: of the coefficients.
        log_z: ln of the evidence, where it is known.
        data: name of the data.
    """

    def __init__(
        self, inputs: NDArray[np.float64], outcomes: NDArray[np.int_], names: list[str], log_z: float | None, data: Data
    ) -> None:
        super().__init__()
        self.data = data
        self.dim = inputs.shape[1]
        self.names = names
        self.log_z = log_z
        self._constants = Constants(signed=inputs * (2 * outcomes[:, None] - 1))

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        logits = self.checked(z) @ self._constants.like(z)["signed"].T
        prior = -0.5 * z.square().sum(-1) - 0.5 * self.dim * LOG_2PI
        value: Tensor = prior + torch.nn.functional.logsigmoid(logits).sum(-1)
        return value

    def reference(self) -> Tensor:
        """Draws by importance resampling, the same every time.

        Returns:
            (4000, D), in float64.
        """
        return _reference(self.data)


@register_target(
    "logistic",
    label="Logistic regression ({data})",
    cite="nfbench; data of Street, Wolberg & Mangasarian 1993",
    year=1993,
)
def logistic(data: Data = "breast-cancer") -> Target:
    """Logistic regression with N(0, 1) coefficients, an intercept first, on inputs with mean 0 and variance 1.

    Args:
        data: breast-cancer: 569 tumours, 30 measures, is it benign? It comes with scikit-learn.

    Returns:
        The target.
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    standard = (bunch.data - bunch.data.mean(0)) / bunch.data.std(0)
    inputs = np.concatenate([np.ones((len(standard), 1)), standard], 1)
    return LogisticRegression(inputs, bunch.target, ["intercept", *map(str, bunch.feature_names)], _LOG_Z[data], data)


@functools.lru_cache(maxsize=4)
def _reference(data: Data) -> Tensor:
    """Draws (4000, D) of the coefficients."""
    return resampled(logistic(data), 4000, 100_000, stream(0, "logistic"))
