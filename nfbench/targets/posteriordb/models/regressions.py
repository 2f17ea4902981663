"""Linear regressions with priors: simulated data, temperatures at Kilpisjarvi, prices of diamonds."""

import math

import torch
from torch import Tensor

from nfbench.targets.posteriordb.densities import normal, student
from nfbench.targets.posteriordb.linear import LinearRegression, columns
from nfbench.targets.posteriordb.model import Data, add
from nfbench.targets.posteriordb.parameters import Real


def _double(value: object) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _simulated(data: Data) -> LinearRegression:
    """Five coefficients without intercept: N(0, 10) priors of these and of sigma."""

    def prior(b: Tensor, sigma: Tensor) -> Tensor:
        return normal(b, 0.0, 10.0).sum(-1) + normal(sigma, 0.0, 10.0)

    return LinearRegression(_double(data["X"]), _double(data["y"]), prior=prior)


def _kilpisjarvi(data: Data) -> LinearRegression:
    """A trend of summer temperatures over years that are not centred; normal priors in the data, flat in sigma."""

    def prior(b: Tensor, sigma: Tensor) -> Tensor:
        level = normal(b[..., 0], data["pmualpha"], data["psalpha"])
        return level + normal(b[..., 1], data["pmubeta"], data["psbeta"])

    parameters = (Real("alpha"), Real("beta"))
    return LinearRegression(columns(_double(data["x"])), _double(data["y"]), parameters, prior)


def _diamonds(data: Data) -> LinearRegression:
    """24 centred inputs with N(0, 1) coefficients; t_3(8, 10) prior of the intercept, half-t_3(0, 10) of sigma."""

    def prior(b: Tensor, sigma: Tensor) -> Tensor:
        scale = student(sigma, 3.0, 0.0, 10.0) + math.log(2)
        return normal(b[..., :-1], 0.0, 1.0).sum(-1) + student(b[..., -1], 3.0, 8.0, 10.0) + scale

    inputs = _double(data["X"])[:, 1:]
    with_intercept = torch.cat([inputs - inputs.mean(0), torch.ones(len(inputs), 1, dtype=torch.float64)], -1)
    parameters = (Real("b", inputs.shape[1]), Real("Intercept"))
    return LinearRegression(with_intercept, _double(data["Y"]), parameters, prior)


add("sblri-blr", _simulated, log_z=-185.46632)
add("sblrc-blr", _simulated, log_z=-195.66074)
add("kilpisjarvi_mod-kilpisjarvi", _kilpisjarvi, log_z=-103.22617)
add("diamonds-diamonds", _diamonds, log_z=3190.59729)
