"""Continuous normalizing flow with fixed steps (Chen et al. 2018; Grathwohl et al. 2019).

A map follows dz/dt = f(z, t; context) from time 0 to 1 by n steps of Runge-Kutta's method of order 4. ln|det| is that
of these steps, by their Jacobians: exact for the discrete map, at the price of D tangents a draw, or of as many as the
networks have hidden units where that is cheaper. Steps are fixed, so that no draw depends on its neighbours. Inverse:
each step by Newton's method (`nfbench.posteriors.runge_kutta`).

f is a tanh network of (z, t). A step of length h is one-to-one where h L < ln 2 for a Lipschitz constant L of f, as
then its Jacobian is within e^(h L) - 1 < 1 of the identity: f is divided by what the product of the Frobenius norms of
its weights has beyond n / 2, so that every map is one-to-one, whatever the weights.

Start: exactly the identity, as the networks' last layers are zero.
"""

import torch
from torch import Tensor

from nfbench.posteriors import runge_kutta
from nfbench.posteriors.context_flow import Context, ContextFlow, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost
from nfbench.posteriors.networks import Networks
from nfbench.posteriors.runge_kutta import Field
from nfbench.specification.registry import register_posterior

_LIMIT = 0.5  # h L at most; below ln 2


class Cnf(ContextFlow):
    """K continuous maps, each with a network of its own.

    Args:
        dim: D.
        depth: K.
        steps: n of each map.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: C, numbers for each data point that the networks see; 0: none.

    Attributes:
        networks: the K networks, from D coordinates and the time to D velocities.
    """

    name = "cnf"

    def __init__(self, dim: int, depth: int, steps: int, hidden: int, layers: int, context: int) -> None:
        super().__init__(dim, depth, context)
        self.steps = steps
        self.networks = Networks(depth, dim + 1, dim, hidden, layers, context)

    def fields(self, context: Tensor) -> list[Field]:
        """The velocities of the K maps.

        Args:
            context: (B or 1, P).

        Returns:
            Of each map, f and its derivatives along tangents.
        """
        return [_field(layers, self.steps * _LIMIT) for layers in self.networks.network_layers(context)]

    def width(self) -> int:
        """The coordinates of the tangents that go through a step on the way to ln|det|.

        >>> Cnf(100, 1, steps=4, hidden=32, layers=1, context=0).width()
        32

        Returns:
            H where that takes fewer flops than D: a product with H^2 numbers for each tangent in place of two with D H.
        """
        return self.networks.hidden if self._narrow() else self.dim

    def _narrow(self) -> bool:
        """Whether tangents keep to the coordinates of the hidden units: H^3 is less than 2 D^2 H."""
        return self.networks.hidden**2 < 2 * self.dim**2

    def chain(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for layers in self.networks.network_layers(context):
            field = _field(layers, self.steps * _LIMIT, narrow=self._narrow())
            z, of_map = runge_kutta.solve(field, z, self.steps, self.width())
            log_det = log_det + of_map
        return z, log_det

    def chain_inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for field in reversed(self.fields(context)):
            z, of_map = runge_kutta.solve_back(field, z, self.steps)
            log_det = log_det + of_map
        return z, log_det

    def map_cost(self, *, gradient: bool) -> MapCost:
        """Four passes a step through the network (`Networks.cost`), and as many of T tangents (`width`).

        A tangent costs as much as a draw, or L H (2 H + 1) flops where it keeps to the H hidden units. Flops a draw and
        step besides: 12 for each number of z and of the tangents, D + T^2, and the determinant of the Jacobian,
        2/3 T^3. With gradient three times that. A row of context and the weights as `Networks.cost`.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of the shared weights.
        """
        D, T, times = self.dim, self.width(), 3 if gradient else 1
        draw, row, shared = self.networks.cost(gradient=gradient)
        tangent = times * self.networks.layers * T * (2 * T + 1) if self._narrow() else draw.flops
        step = 4 * (draw.flops + T * tangent) + times * (12 * (D + T * T) + 2 * T**3 // 3)
        return MapCost(Cost(0, self.steps * step), row, shared)


def _field(layers: list[tuple[Tensor, Tensor]], limit: float, *, narrow: bool = False) -> Field:
    """The velocity that a network of (z, t) computes.

    Args:
        layers: weights (inputs, outputs) and biases (B or 1, outputs) of each layer; the first one's last row is t's.
        limit: on the product of the weights' norms; beyond it the velocity is divided by the excess.
        narrow: tangents are in the coordinates of the first layer's outputs, see `nfbench.posteriors.runge_kutta`.
    """
    (w_first, b_first), *others = layers
    w_z, w_t = w_first[:-1], w_first[-1]
    norm = torch.stack([weight.square().sum() for weight in (w_z, *(w for w, _ in others))]).clamp_min(1e-30)
    slower = (norm.log().sum() / 2).exp().div(limit).clamp_min(1.0)
    others[-1] = others[-1][0] / slower, others[-1][1] / slower
    of_tangents = [weight for weight, _ in others]
    if narrow:
        of_tangents[-1] = of_tangents[-1] @ w_z

    def field(z: Tensor, tangents: Tensor, time: float) -> tuple[Tensor, Tensor]:
        h = z @ w_z + (b_first + time * w_t)
        along = tangents if narrow else tangents @ w_z
        for (weight, bias), turn in zip(others, of_tangents, strict=True):
            h = h.tanh()
            along = (along * (1 - h.square()).unsqueeze(-2)) @ turn
            h = h @ weight + bias
        return h, along

    return field


@register_posterior("cnf", label="Continuous flow", cite="Grathwohl et al. 2019", year=2019, kind="continuous")
def cnf(
    dim: int, depth: int = 1, steps: Units = 4, hidden: Units = 32, layers: Units = 1, context: Context = 16
) -> Flow:
    """Continuous normalizing flow: K maps that follow a learned velocity by fixed steps, with the steps' exact ln|det|.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        steps: Runge-Kutta steps of each map.
        hidden: units of each hidden tanh layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain, with its weights drawn from torch's own generator.
    """
    return Cnf(dim, depth, steps, hidden, layers, context)
