"""Time series: an autoregression of order five, ARMA(1, 1) and GARCH(1, 1)."""

import torch
from torch import Tensor

from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.densities import cauchy, normal
from nfbench.targets.posteriordb.linear import LinearRegression, columns
from nfbench.targets.posteriordb.model import Data, Model, add
from nfbench.targets.posteriordb.parameters import Interval, Positive, Real, Values


def first_order(start: Tensor, factor: Tensor, terms: Tensor) -> Tensor:
    """Solve x_1 = start, x_t = factor x_(t-1) + terms_(t-1) for all t, by doubling steps.

    >>> first_order(torch.tensor(1.0), torch.tensor(0.5), torch.tensor([1.0, 1.0])).tolist()
    [1.0, 1.5, 1.75]

    Args:
        start: (...).
        factor: (...).
        terms: (..., T - 1).

    Returns:
        (..., T).
    """
    x = torch.cat([start.unsqueeze(-1), terms], -1)
    power, shift = factor.unsqueeze(-1), 1
    while shift < x.shape[-1]:  # now x_t holds the terms of the last `shift` steps
        x = torch.cat([x[..., :shift], x[..., shift:] + power * x[..., :-shift]], -1)
        power, shift = power.square(), 2 * shift
    return x


def _autoregression(data: Data) -> LinearRegression:
    """y_t ~ N(alpha + sum_k beta_k y_(t-k), sigma) for t > 5; N(0, 10) and Cauchy(0, 2.5) priors."""

    def prior(b: Tensor, sigma: Tensor) -> Tensor:
        return normal(b, 0.0, 10.0).sum(-1) + cauchy(sigma, 2.5)

    y, order = torch.tensor(data["y"], dtype=torch.float64), data["K"]
    past = [y[order - lag : len(y) - lag] for lag in range(1, order + 1)]
    return LinearRegression(columns(*past), y[order:], (Real("alpha"), Real("beta", order)), prior)


class Arma11(Model):
    """y_t ~ N(mu + phi y_(t-1) + theta e_(t-1), sigma), e_t the error at t, with y_0 = mu and e_0 = 0.

    mu ~ N(0, 10), phi and theta ~ N(0, 2), sigma ~ Cauchy(0, 2.5); u = (mu, phi, theta, ln sigma), Jacobian ln sigma.

    Args:
        data: as posteriordb has them.
    """

    parameters = (Real("mu"), Real("phi"), Real("theta"), Positive("sigma"))

    def __init__(self, data: Data) -> None:
        self.constants = Constants(y=data["y"])

    def log_density(self, values: Values) -> Tensor:
        mu, phi, theta, sigma = (values[name].unsqueeze(-1) for name in ("mu", "phi", "theta", "sigma"))
        y = self.constants.like(mu)["y"]
        first = y[0] - mu - phi * mu
        errors = first_order(first.squeeze(-1), -theta.squeeze(-1), y[1:] - mu - phi * y[:-1])
        prior = normal(mu, 0.0, 10.0) + normal(phi, 0.0, 2.0) + normal(theta, 0.0, 2.0) + cauchy(sigma, 2.5)
        return prior.squeeze(-1) + normal(errors, 0.0, sigma).sum(-1)


class Garch11(Model):
    """y_t ~ N(mu, sigma_t) with sigma_t^2 = a0 + a1 (y_(t-1) - mu)^2 + b1 sigma_(t-1)^2; flat priors.

    u = (mu, ln a0, logit a1, logit(b1 / (1 - a1))): b1 lies between 0 and 1 - a1. The Jacobian is
    ln a0 + ln a1 (1 - a1) + ln (1 - a1) + ln w (1 - w) with w = b1 / (1 - a1).

    Args:
        data: as posteriordb has them.
    """

    parameters = (
        Real("mu"),
        Positive("alpha0"),
        Interval("alpha1"),
        Interval("beta1", upper=lambda values: 1 - values["alpha1"]),
    )

    def __init__(self, data: Data) -> None:
        self.constants = Constants(y=data["y"], start=data["sigma1"] ** 2)

    def log_density(self, values: Values) -> Tensor:
        constants = self.constants.like(values["mu"])
        away = constants["y"] - values["mu"].unsqueeze(-1)
        terms = values["alpha0"].unsqueeze(-1) + values["alpha1"].unsqueeze(-1) * away[..., :-1].square()
        variance = first_order(constants["start"].expand_as(values["mu"]), values["beta1"], terms)
        return normal(away, 0.0, variance.sqrt()).sum(-1)


add("arK-arK", _autoregression, log_z=57.89445)
add("arma-arma11", Arma11, log_z=56.5575)
add("garch-garch11", Garch11, log_z=-451.0021)
