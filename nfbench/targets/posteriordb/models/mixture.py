"""A mixture of two normal distributions in one dimension."""

import torch
from torch import Tensor

from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.densities import dirichlet, normal
from nfbench.targets.posteriordb.model import Data, Model, add
from nfbench.targets.posteriordb.parameters import Interval, Ordered, Positive, Values


class LowDimGaussMix(Model):
    """y_n ~ theta N(mu_1, sigma_1) + (1 - theta) N(mu_2, sigma_2) with mu_1 < mu_2.

    mu and sigma ~ N(0, 2), theta ~ Beta(5, 5).

    u = (mu_1, ln(mu_2 - mu_1), ln sigma_1, ln sigma_2, logit theta), with the Jacobian
    ln(mu_2 - mu_1) + ln sigma_1 + ln sigma_2 + ln theta (1 - theta).

    Args:
        data: as posteriordb has them.
    """

    parameters = (Ordered("mu", 2), Positive("sigma", 2), Interval("theta"))

    def __init__(self, data: Data) -> None:
        self.constants = Constants(y=data["y"], beta=[5.0, 5.0])

    def log_density(self, values: Values) -> Tensor:
        mu, sigma, theta = values["mu"], values["sigma"], values["theta"]
        constants = self.constants.like(theta)
        pair = torch.stack([theta, 1 - theta], -1)
        prior = normal(mu, 0.0, 2.0).sum(-1) + normal(sigma, 0.0, 2.0).sum(-1) + dirichlet(pair, constants["beta"])
        first, second = (_log_weighted(constants["y"], *(each[..., k] for each in (pair, mu, sigma))) for k in range(2))
        return prior + torch.logaddexp(first, second).sum(-1)


def _log_weighted(y: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """ln(weight N(y; mu, sigma)), (..., N), as a polynomial of y: less than half the time with derivatives."""
    precision = sigma.square().reciprocal()
    coefficients = (weight.log() + normal(mu, 0.0, sigma), mu * precision, -0.5 * precision)
    zeroth, linear, quadratic = (each.unsqueeze(-1) for each in coefficients)
    return zeroth + y * (linear + y * quadratic)


add("low_dim_gauss_mix-low_dim_gauss_mix", LowDimGaussMix, log_z=-2117.0688)
