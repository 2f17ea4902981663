"""Eight schools: a hierarchical model of eight effects with known errors (Rubin 1981), in two forms."""

import torch
from torch import Tensor

from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.densities import cauchy, normal
from nfbench.targets.posteriordb.model import Data, Model, add
from nfbench.targets.posteriordb.parameters import Positive, Real, Values

_DRAWS = "eight_schools-eight_schools_noncentered"
_LOG_Z = -32.00449


class Centred(Model):
    """y_j ~ N(theta_j, sigma_j), theta_j ~ N(mu, tau), mu ~ N(0, 5), tau ~ Cauchy(0, 5).

    u = (theta, mu, ln tau), with the Jacobian ln tau.

    Args:
        data: as posteriordb has them.
    """

    def __init__(self, data: Data) -> None:
        self.parameters = (Real("theta", data["J"]), Real("mu"), Positive("tau"))
        self.constants = Constants(y=data["y"], sigma=data["sigma"])

    def log_density(self, values: Values) -> Tensor:
        mu, tau = values["mu"].unsqueeze(-1), values["tau"].unsqueeze(-1)
        prior = normal(values["mu"], 0.0, 5.0) + cauchy(values["tau"], 5.0)
        return prior + (normal(values["theta"], mu, tau) + self._likelihoods(values["theta"])).sum(-1)

    def _likelihoods(self, theta: Tensor) -> Tensor:
        """The logarithms of N(y_j; theta_j, sigma_j), (..., J)."""
        constants = self.constants.like(theta)
        return normal(theta, constants["y"], constants["sigma"])


class NonCentred(Centred):
    """The same with theta_j = mu + tau t_j, t_j ~ N(0, 1).

    u = (t, mu, ln tau), with the Jacobian ln tau. Draws hold theta.

    Args:
        data: as posteriordb has them.
    """

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.parameters = (Real("theta_trans", data["J"]), Real("mu"), Positive("tau"))

    def log_density(self, values: Values) -> Tensor:
        prior = normal(values["mu"], 0.0, 5.0) + cauchy(values["tau"], 5.0)
        theta = self.drawn(values)["theta"]
        return prior + (normal(values["theta_trans"], 0.0, 1.0) + self._likelihoods(theta)).sum(-1)

    def drawn(self, values: Values) -> Values:
        mu, tau = values["mu"], values["tau"]
        theta = mu.unsqueeze(-1) + tau.unsqueeze(-1) * values["theta_trans"]
        return {"theta": theta, "mu": mu, "tau": tau}

    def undrawn(self, draws: Values) -> Values:
        mu, tau = draws["mu"], draws["tau"]
        standard: Tensor = torch.div(draws["theta"] - mu.unsqueeze(-1), tau.unsqueeze(-1))
        return {"theta_trans": standard, "mu": mu, "tau": tau}


add("eight_schools-eight_schools_centered", Centred, log_z=_LOG_Z, draws=_DRAWS)
add("eight_schools-eight_schools_noncentered", NonCentred, log_z=_LOG_Z, draws=_DRAWS)
