"""Hidden Markov models with two states; the sum over all paths is a product of matrices."""

import functools

import torch
from torch import Tensor

from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.densities import dirichlet, normal
from nfbench.targets.posteriordb.model import Data, Model, add
from nfbench.targets.posteriordb.parameters import Ordered, Pair, PositiveOrdered, Values

_THETA = (Pair("theta1", 2), Pair("theta2", 2))  # rows of the transition matrix


def log_paths(emissions: Tensor, transitions: Tensor) -> Tensor:
    """The logarithm of the sum over all paths of states, without a distribution of the first, by products of matrices.

    >>> even = torch.full((3, 2), 0.5).log(), torch.full((2, 2), 0.5).log()
    >>> round(float(log_paths(*even).exp()), 6)  # two states to begin with, each with weight 1
    0.25

    Args:
        emissions: ln p(y_t | state), (..., T, states).
        transitions: ln p(state | state before), (..., states, states).

    Returns:
        (...).
    """
    # Time is the last dimension: sums over few states would run along memory otherwise, which takes four times as long.
    steps = transitions.unsqueeze(-1) + emissions[..., 1:, :].mT.unsqueeze(-3)
    while steps.shape[-1] > 1:
        even = steps.shape[-1] // 2 * 2
        left, right, rest = steps[..., 0:even:2], steps[..., 1:even:2], steps[..., even:]
        ways = (left[..., k, :].unsqueeze(-2) + right[..., k, :, :].unsqueeze(-3) for k in range(left.shape[-2]))
        steps = torch.cat([functools.reduce(torch.logaddexp, ways), rest], -1)
    return torch.logsumexp(emissions[..., 0, :].unsqueeze(-1) + steps.squeeze(-1), (-2, -1))


def _transitions(values: Values) -> Tensor:
    return torch.stack([values["theta1"], values["theta2"]], -2).log()


class Example(Model):
    """y_t ~ N(mu_state, 1), 0 < mu_1 < mu_2; mu_1 ~ N(3, 1), mu_2 ~ N(10, 1), flat rows of transitions.

    u = (logit theta1_1, logit theta2_1, ln mu_1, ln(mu_2 - mu_1)); the Jacobian is the sum of ln theta_1 theta_2 of
    both rows, ln mu_1 and ln(mu_2 - mu_1).

    Args:
        data: as posteriordb has them.
    """

    parameters = (*_THETA, PositiveOrdered("mu", 2))

    def __init__(self, data: Data) -> None:
        self.constants = Constants(y=data["y"], prior=[3.0, 10.0])

    def log_density(self, values: Values) -> Tensor:
        mu = values["mu"]
        constants = self.constants.like(mu)
        emissions = normal(constants["y"][:, None], mu.unsqueeze(-2), 1.0)
        return normal(mu, constants["prior"], 1.0).sum(-1) + log_paths(emissions, _transitions(values))


class Drives(Model):
    """Drives to the basket: two measures u and v of each, with parameters phi and lambda; both ~ N((0, 3), 1).

    Rows of transitions have Dirichlet priors. u = (logit theta1_1, logit theta2_1, phi, lambda), phi and lambda by
    their first element and ln of the difference.

    Args:
        data: as posteriordb has them.
    """

    def __init__(self, data: Data) -> None:
        scales = {key: data[key] for key in ("tau", "rho") if key in data}
        self.constants = Constants(u=data["u"], v=data["v"], alpha=data["alpha"], prior=[0.0, 3.0], **scales)

    def log_density(self, values: Values) -> Tensor:
        constants = self.constants.like(values["phi"])
        prior = sum(
            dirichlet(values[f"theta{row + 1}"], constants["alpha"][row])
            + normal(values[name], constants["prior"], 1.0).sum(-1)
            for row, name in enumerate(("phi", "lambda"))
        )
        emissions = self._emissions(values["phi"], values["lambda"])
        return prior + log_paths(emissions, _transitions(values))

    def _emissions(self, phi: Tensor, rate: Tensor) -> Tensor:
        """The densities' logarithms of both measures in each state, (..., T, 2)."""
        raise NotImplementedError


class ExponentialDrives(Drives):
    """Measures are exponential with rates phi and lambda, which are positive.

    The Jacobian has ln phi_1, ln lambda_1 and the logarithms of both differences, beside those of the transitions.
    """

    parameters = (*_THETA, PositiveOrdered("phi", 2), PositiveOrdered("lambda", 2))

    def _emissions(self, phi: Tensor, rate: Tensor) -> Tensor:
        constants = self.constants.like(phi)
        parts = ((phi, constants["u"]), (rate, constants["v"]))
        first, second = (each.log().unsqueeze(-2) - each.unsqueeze(-2) * seen[:, None] for each, seen in parts)
        return first + second


class NormalDrives(Drives):
    """Measures are normal with means phi and lambda, any numbers, and known standard deviations.

    The Jacobian has the logarithms of both differences, beside those of the transitions.
    """

    parameters = (*_THETA, Ordered("phi", 2), Ordered("lambda", 2))

    def _emissions(self, phi: Tensor, rate: Tensor) -> Tensor:
        constants = self.constants.like(phi)
        first = normal(constants["u"][:, None], phi.unsqueeze(-2), constants["tau"])
        return first + normal(constants["v"][:, None], rate.unsqueeze(-2), constants["rho"])


add("hmm_example-hmm_example", Example, log_z=-172.7108)
add("bball_drive_event_0-hmm_drive_0", ExponentialDrives, log_z=-1902.9897)
add("bball_drive_event_1-hmm_drive_1", NormalDrives, log_z=-6945.0664)
