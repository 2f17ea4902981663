"""Normal linear regression, the form of 34 of posteriordb's posteriors."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.model import Model
from nfbench.targets.posteriordb.parameters import Parameter, Positive, Real, Values

Prior = Callable[[Tensor, Tensor], Tensor]


class LinearRegression(Model):
    """y ~ N(X b, s) with coefficients b and one standard deviation s; u = (b, ln s), with the Jacobian term ln s.

    The likelihood is computed from the least-squares fit b^ of the data, |y - X b|^2 = S + |R (b - b^)|^2 with X = Q R:
    one small product for each draw, whatever the number of observations, and no loss of digits where columns of X are
    nearly the same.

    Args:
        inputs: X, (N, p).
        outcomes: y, (N,).
        parameters: of the coefficients in the order of X's columns; None: a vector ``beta``.
        prior: ln of the prior density of (b (..., p), s (...)); None: flat in b and s.
    """

    def __init__(
        self,
        inputs: Tensor,
        outcomes: Tensor,
        parameters: Sequence[Parameter] | None = None,
        prior: Prior | None = None,
    ) -> None:
        num, self._columns = inputs.shape
        self._free = num - self._columns
        self._prior = prior
        self.has_exact_draws = prior is None
        self._coefficients = parameters or (Real("beta", self._columns),)
        self.parameters = (*self._coefficients, Positive("sigma"))
        orthogonal, triangle = torch.linalg.qr(inputs)
        fit = torch.linalg.solve_triangular(triangle, (orthogonal.T @ outcomes)[:, None], upper=True)[:, 0]
        self._residual = float((outcomes - inputs @ fit).square().sum())
        self._num = num
        self.constants = Constants(triangle=triangle, fit=fit)

    def log_density(self, values: Values) -> Tensor:
        sigma = values["sigma"]
        b = torch.cat([values[each.name].reshape(*sigma.shape, -1) for each in self._coefficients], -1)
        constants = self.constants.like(b)
        squares = self._residual + ((b - constants["fit"]) @ constants["triangle"].T).square().sum(-1)
        likelihood = -self._num * (sigma.log() + 0.5 * LOG_2PI) - 0.5 * squares / sigma.square()
        return likelihood if self._prior is None else likelihood + self._prior(b, sigma)

    def exact_log_z(self) -> float | None:
        """Compute ln Z of flat priors.

        It is -(N - p)/2 ln 2 pi - ln|R| + ln 1/2 - (N - p - 1)/2 ln(S/2) + ln Gamma((N - p - 1)/2).

        Returns:
            Nats; None with another prior.
        """
        if self._prior is not None:
            return None
        shape = (self._free - 1) / 2
        log_det = float(self._double()["triangle"].diagonal().abs().log().sum())
        constant = -0.5 * self._free * LOG_2PI - log_det - math.log(2)
        return constant - shape * math.log(self._residual / 2) + math.lgamma(shape)

    def exact_draws(self, num: int, generator: torch.Generator) -> Values | None:
        """Draw exactly with flat priors.

        S / s^2 is chi-square with N - p - 1 degrees of freedom, and b given s is N(b^, s^2 (X'X)^-1).

        Args:
            num: how many draws.
            generator: of random numbers.

        Returns:
            Values of the parameters; None with another prior.
        """
        if self._prior is not None:
            return None
        device = generator.device
        freedom = self._free - 1
        noise = torch.randn(num, freedom + self._columns, generator=generator, device=device, dtype=torch.float64)
        sigma = (self._residual / noise[:, :freedom].square().sum(-1)).sqrt()
        constants = self.constants.like(noise)
        away = torch.linalg.solve_triangular(constants["triangle"], noise[:, freedom:].T, upper=True).T
        b = constants["fit"] + sigma[:, None] * away
        values: Values = {}
        for each, part in zip(
            self._coefficients, b.split([each.width for each in self._coefficients], -1), strict=True
        ):
            values[each.name] = part[:, 0] if each.size is None else part
        return values | {"sigma": sigma}

    def _double(self) -> dict[str, Tensor]:
        return self.constants.like(torch.zeros(1, dtype=torch.float64))


def columns(*parts: Tensor) -> Tensor:
    """Make a matrix of inputs with an intercept.

    >>> columns(torch.tensor([2.0, 3.0])).tolist()
    [[1.0, 2.0], [1.0, 3.0]]

    Args:
        parts: the other columns, (N,) each.

    Returns:
        (N, 1 + number of parts).
    """
    return torch.stack([torch.ones_like(parts[0]), *parts], -1)
