"""Differential equations with unknown rates: a drug that is absorbed and eliminated, and lynx that hunt hares.

Both are solved by Runge and Kutta's method of the fourth order with fixed steps, so short that halving them moves
ln p by less than 1e-8.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.densities import cauchy, lognormal, normal
from nfbench.targets.posteriordb.model import Data, Model, add
from nfbench.targets.posteriordb.parameters import Positive, Values

Slope = Callable[[float, Tensor], Tensor]


def solve(slope: Slope, start: Tensor, times: list[float], steps: int) -> Tensor:
    """Solve dx/dt = slope(t, x) by Runge and Kutta's method.

    >>> float(solve(lambda t, x: -x, torch.ones(1).double(), [0.0, 1.0], 20)[0, 0])  # exp(-1)
    0.36787...

    Args:
        slope: a function of t and x (..., n) that returns (..., n).
        start: x at the first time, (..., n).
        times: the first time, and those at which x is wanted.
        steps: between two times.

    Returns:
        x at all times but the first, (times - 1, ..., n).
    """
    x, states = start, []
    for begin, end in itertools.pairwise(times):
        h = (end - begin) / steps
        for step in range(steps):
            t = begin + step * h
            first = slope(t, x)
            second = slope(t + h / 2, x + h / 2 * first)
            third = slope(t + h / 2, x + h / 2 * second)
            fourth = slope(t + h, x + h * third)
            x = x + h / 6 * (first + 2 * second + 2 * third + fourth)
        states.append(x)
    return torch.stack(states)


class OneCompartment(Model):
    """Concentration C with dC/dt = k_a D/V exp(-k_a t) - (V_m/V) C / (K_m + C), seen with lognormal errors sigma.

    All four parameters have Cauchy(0, 1) priors; u = ln(k_a, K_m, V_m, sigma), and the Jacobian is their sum.

    Args:
        data: as posteriordb has them.
    """

    parameters = (Positive("k_a"), Positive("K_m"), Positive("V_m"), Positive("sigma"))

    def __init__(self, data: Data) -> None:
        self._dose, self._volume = float(data["D"]), float(data["V"])
        self._times = [float(data["t0"]), *map(float, data["times"])]
        self.constants = Constants(seen=data["C_hat"])

    def log_density(self, values: Values) -> Tensor:
        absorb, half, most, sigma = (values[parameter.name] for parameter in self.parameters)

        def slope(t: float, x: Tensor) -> Tensor:
            enters = absorb * (self._dose / self._volume) * torch.exp(-absorb * t)
            return enters - most / self._volume * x / (half + x)

        concentration = solve(slope, torch.zeros_like(sigma), self._times, steps=40)
        seen = self.constants.like(sigma)["seen"].reshape(-1, *[1] * sigma.ndim)
        prior = cauchy(absorb, 1.0) + cauchy(half, 1.0) + cauchy(most, 1.0) + cauchy(sigma, 1.0)
        return prior + lognormal(seen, concentration.log(), sigma).sum(0)


class LotkaVolterra(Model):
    """Hares x and lynx y with dx/dt = (a - b y) x and dy/dt = (-g + d x) y, seen with lognormal errors.

    theta = (a, b, g, d): a and g ~ N(1, 0.5), b and d ~ N(0.05, 0.05); z_init ~ lognormal(ln 10, 1), sigma ~
    lognormal(-1, 1). u = ln(theta, z_init, sigma), and the Jacobian is their sum.

    Args:
        data: as posteriordb has them.
    """

    parameters = (Positive("theta", 4), Positive("z_init", 2), Positive("sigma", 2))

    def __init__(self, data: Data) -> None:
        self._times = [0.0, *map(float, data["ts"])]
        self.constants = Constants(
            seen=[data["y_init"], *data["y"]], mean=[1, 0.05, 1, 0.05], sd=[0.5, 0.05, 0.5, 0.05]
        )

    def log_density(self, values: Values) -> Tensor:
        theta, start, sigma = values["theta"], values["z_init"], values["sigma"]
        a, b, g, d = theta.unbind(-1)
        constants = self.constants.like(theta)

        def slope(t: float, z: Tensor) -> Tensor:
            x, y = z.unbind(-1)
            return torch.stack([(a - b * y) * x, (d * x - g) * y], -1)

        states = torch.cat([start.unsqueeze(0), solve(slope, start, self._times, steps=20)])
        seen = constants["seen"].reshape(-1, *[1] * (theta.ndim - 1), 2)
        ten = start.new_tensor(10.0).log()
        prior = normal(theta, constants["mean"], constants["sd"]).sum(-1)
        prior = prior + lognormal(start, ten, 1.0).sum(-1) + lognormal(sigma, -1.0, 1.0).sum(-1)
        return prior + lognormal(seen, states.log(), sigma).sum((0, -1))


add("one_comp_mm_elim_abs-one_comp_mm_elim_abs", OneCompartment)
add("hudson_lynx_hare-lotka_volterra", LotkaVolterra, log_z=-147.0791)
