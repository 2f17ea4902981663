"""Unconstrained monotonic neural networks (Wehenkel & Louppe 2019).

An autoregressive network computes beta_i and an embedding h_i from the coordinates before i and the context. A map is

    z_i' = beta_i + integral from 0 to z_i of f(t; h_i) dt,    f = (1 - s)(1 + ELU(n(t; h_i))) + s > 0,
    ln|det| = sum ln f(z_i; h_i),

with a network n of one hidden tanh layer, in which h_i is added to the biases. The slope s = 0.001 keeps the image all
of R^D: 1 + ELU alone can decay so fast that its integral to minus infinity is finite. The integral is a Gauss-Legendre
rule with `nodes` points, so that z' is approximate and ln|det| is that of the exact integral; the second derivative of
ELU jumps, which bounds the accuracy. Gradients are the rule's. The order of the coordinates is reversed after each map.

A draw takes one pass through each network and `nodes` + 1 calls of the integrand for each coordinate; the inverse finds
a root for one coordinate after the other. Start: exactly the identity, as the last layers are zero.
"""

import math
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from nfbench.foundation.numerics import implicit_root
from nfbench.kernels.layers.integral import LEAST, integral, rises
from nfbench.posteriors.context_flow import Context, ContextFlow, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.map_flow import MapCost
from nfbench.posteriors.networks import AutoregressiveNetworks
from nfbench.specification.registry import register_posterior


class Umnn(ContextFlow):
    """K monotonic maps by integration.

    Args:
        dim: D, at least 2: one coordinate has none before it.
        depth: K.
        nodes: n, of the rule for the integral.
        units: U, hidden units of each integrand, numbers of an embedding.
        hidden: H, units of each hidden layer of the autoregressive networks.
        layers: hidden layers of each of these.
        context: C, numbers for each data point that these see; 0: none.

    Attributes:
        points: of the rule on [0, 1], and 1, (n + 1,).
        rule: (n,), its weights, with the sum 1.
        networks: from D coordinates to D numbers beta and U D numbers h.
        slopes: (K, U), weights of t, from N(0, 1).
        biases: (K, U), from N(0, 2).
        weights: (K, U), of the integrand's output before they are scaled by 2 / sqrt(K U), from 0.
        shifts: (K,), its biases before they are scaled, from 0.
    """

    name = "umnn"
    points: Tensor
    rule: Tensor

    def __init__(self, dim: int, depth: int, nodes: int, units: int, hidden: int, layers: int, context: int) -> None:
        super().__init__(dim, depth, context, least=2)
        self.units, self.scale = units, 2 / math.sqrt(units * max(1, depth))
        self.integration_error = 2 / nodes**2  # four times what parameters like trained ones showed
        points, weights = np.polynomial.legendre.leggauss(nodes)
        self.register_buffer("points", torch.tensor([*(points + 1) / 2, 1.0], dtype=torch.float64), persistent=False)
        self.register_buffer("rule", torch.tensor(weights / 2, dtype=torch.float64), persistent=False)
        self.networks = AutoregressiveNetworks(depth, dim, 1 + units, hidden, layers, context)
        self.slopes = nn.Parameter(torch.randn(depth, units))
        self.biases = nn.Parameter(torch.randn(depth, units) * math.sqrt(2))
        self.weights = nn.Parameter(torch.zeros(depth, units))
        self.shifts = nn.Parameter(torch.zeros(depth))

    def integrand(self, number: int, t: Tensor, embedding: Tensor) -> Tensor:
        """The integrand of one map.

        Args:
            number: of the map, from 0.
            t: (..., n).
            embedding: h (..., U).

        Returns:
            f > 0, (..., n).
        """
        return (1 - LEAST) * rises(t, embedding, *self._network(number))[0] + LEAST

    def _network(self, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The numbers of a map's integrand: slopes, biases and weights (U,), and a shift (1,)."""
        shift = self.shifts[number : number + 1] * self.scale
        return self.slopes[number], self.biases[number], self.weights[number] * self.scale, shift

    def _split(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The network's outputs (S, B, (1 + U) D) as beta (S, B, D) and h (S, B, D, U)."""
        beta, rest = torch.split(numbers, [self.dim, self.units * self.dim], -1)
        return beta, rest.reshape(*rest.shape[:-1], self.units, self.dim).movedim(-2, -1)

    def chain(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_det, rule = z.new_zeros(z.shape[:-1]), (self.points.to(z), self.rule.to(z))
        for number, network in enumerate(self.networks.conditioners(context)):
            beta, embedding = self._split(network(z))
            moved, f = integral(z, embedding, *self._network(number), *rule)
            z, log_det = beta + moved, log_det + f.log().sum(-1)
        return z, log_det

    def chain_inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `chain`: of each map, a root for one coordinate after the other.

        Args:
            z: z_K (S, B, D).
            context: (B or 1, P).

        Returns:
            z (S, B, D) and ln|det dz/dz_K| (S, B).
        """
        log_det = z.new_zeros(z.shape[:-1])
        for number, network in reversed(list(enumerate(self.networks.conditioners(context)))):
            columns, right = list(torch.zeros_like(z).unbind(-1)), z
            for i in list(range(self.dim))[:: -1 if number % 2 else 1]:  # odd networks count from the last
                beta, embedding = self._split(network(torch.stack(columns, -1)))
                columns[i] = self._root(number, right[..., i] - beta[..., i], embedding[..., i, :])
            z = torch.stack(columns, -1)
            _, embedding = self._split(network(z))
            log_det = log_det - self.integrand(number, z.unsqueeze(-1), embedding).squeeze(-1).log().sum(-1)
        return z, log_det

    def _root(self, number: int, right: Tensor, embedding: Tensor) -> Tensor:
        """Where the integral of a map is `right`, both (S, B); f >= LEAST brackets it."""
        nodes, rule, numbers = self.points[:-1].to(right), self.rule.to(right), self._network(number)

        def equation(t: Tensor) -> tuple[Tensor, Tensor]:
            rising, units = rises(t.unsqueeze(-1) * nodes, embedding, *numbers)
            slopes = (1 - units.square()) @ (numbers[2] * numbers[0])
            mean = ((1 - LEAST) * rising + LEAST) @ rule
            return t * mean - right, mean + t * (((1 - LEAST) * rising.clamp(max=1) * slopes) @ (rule * nodes))

        reach = right.detach().abs() / LEAST + 1e-30
        return implicit_root(equation, -reach, reach)

    def map_cost(self, *, gradient: bool) -> MapCost:
        """A network, and the integrand at n + 1 points for each coordinate of a draw; with gradient thrice.

        Flops: for each unit at a point the product with t, its bias, tanh and the weight 5; for each point the scale,
        ELU, slope and rule 8; ln, product and sums 4 a coordinate.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of the shared weights.
        """
        draw, row, shared = self.networks.cost(gradient=gradient)
        times, points = 3 if gradient else 1, len(self.points)
        moves = Cost(0, times * self.dim * (points * (5 * self.units + 8) + 4))
        return MapCost(combine((1, draw), (1, moves)), row, combine((1, shared), (times, Cost(3 * self.units + 1, 0))))


@register_posterior(
    "umnn", label="UMNN", cite="Wehenkel & Louppe 2019, eq. 2", year=2019, kind="autoregressive", autoregressive=True
)
def umnn(
    dim: int,
    depth: int = 4,
    nodes: Annotated[int, Field(ge=2, le=500)] = 20,
    units: Units = 8,
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Unconstrained monotonic networks: K maps that integrate a positive network over each coordinate.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        nodes: points of the rule for the integral.
        units: hidden tanh units of each integrand.
        hidden: units of each hidden tanh layer of the autoregressive networks.
        layers: hidden layers of each autoregressive network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain, with its weights drawn from torch's own generator.

    Raises:
        InputError: `dim` is 1.
    """
    return Umnn(dim, depth, nodes, units, hidden, layers, context)
