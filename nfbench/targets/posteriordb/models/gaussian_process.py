"""Gaussian processes over eleven points: a regression, and counts whose log-rate is the process."""

import math

import torch
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.densities import gamma, normal
from nfbench.targets.posteriordb.model import Data, Model, add
from nfbench.targets.posteriordb.parameters import Positive, Real, Values

_JITTER = 1e-10


class _Process(Model):
    """rho ~ Gamma(25, 4), alpha ~ N(0, 2) and the kernel alpha^2 exp(-(x - x')^2 / (2 rho^2))."""

    def _prior(self, values: Values) -> Tensor:
        return gamma(values["rho"], 25.0, 4.0) + normal(values["alpha"], 0.0, 2.0)

    def _cholesky(self, values: Values, noise: Tensor) -> Tensor:
        """The lower factor of the kernel's matrix with `noise` (...) on its diagonal; NaN where there is none."""
        x = self.constants.like(noise)["x"]
        squares = (x[:, None] - x).square()
        rho, alpha = values["rho"][..., None, None], values["alpha"][..., None, None]
        kernel = alpha.square() * torch.exp(-0.5 * squares / rho.square())
        unit = torch.eye(len(x), dtype=x.dtype, device=x.device)
        factor, failed = torch.linalg.cholesky_ex(kernel + noise[..., None, None] * unit)
        checked: Tensor = torch.where((failed == 0)[..., None, None], factor, math.nan)
        return checked


class Regression(_Process):
    """y ~ N(0, kernel + sigma I), where sigma ~ N(0, 1) is a variance.

    u = ln(rho, alpha, sigma), with the Jacobian ln rho + ln alpha + ln sigma.

    Args:
        data: as posteriordb has them.
    """

    parameters = (Positive("rho"), Positive("alpha"), Positive("sigma"))

    def __init__(self, data: Data) -> None:
        self.constants = Constants(x=data["x"], y=data["y"])

    def log_density(self, values: Values) -> Tensor:
        sigma = values["sigma"]
        y = self.constants.like(sigma)["y"]
        factor = self._cholesky(values, sigma)
        white = torch.linalg.solve_triangular(factor, y[:, None].expand(*factor.shape[:-1], 1), upper=False)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        likelihood: Tensor = -0.5 * white.square().sum((-2, -1)) - log_det - 0.5 * len(y) * LOG_2PI
        return self._prior(values) + normal(sigma, 0.0, 1.0) + likelihood


class Counts(_Process):
    """k_i ~ Poisson(exp(f_i)) with f = L t, t ~ N(0, I) and L the lower factor of the kernel + 1e-10 I.

    u = (ln rho, ln alpha, t), with the Jacobian ln rho + ln alpha. Draws hold f.

    Args:
        data: as posteriordb has them.
    """

    def __init__(self, data: Data) -> None:
        self.parameters = (Positive("rho"), Positive("alpha"), Real("f_tilde", data["N"]))
        self.constants = Constants(x=data["x"], k=data["k"])

    def log_density(self, values: Values) -> Tensor:
        f = self.drawn(values)["f"]
        k = self.constants.like(f)["k"]
        counts = (k * f - f.exp() - torch.lgamma(k + 1)).sum(-1)
        return self._prior(values) + normal(values["f_tilde"], 0.0, 1.0).sum(-1) + counts

    def drawn(self, values: Values) -> Values:
        factor = self._cholesky(values, torch.full_like(values["rho"], _JITTER))
        f = (factor @ values["f_tilde"].unsqueeze(-1)).squeeze(-1)
        return {"rho": values["rho"], "alpha": values["alpha"], "f": f}

    def undrawn(self, draws: Values) -> Values:
        factor = self._cholesky(draws, torch.full_like(draws["rho"], _JITTER))
        white = torch.linalg.solve_triangular(factor, draws["f"].unsqueeze(-1), upper=False).squeeze(-1)
        return {"rho": draws["rho"], "alpha": draws["alpha"], "f_tilde": white}


add("gp_pois_regr-gp_regr", Regression, log_z=-28.94175)
add("gp_pois_regr-gp_pois_regr", Counts)
