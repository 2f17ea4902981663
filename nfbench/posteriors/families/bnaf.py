"""Block neural autoregressive flow (De Cao, Titov & Aziz 2019).

A map mixes z with a block network f (`nfbench.posteriors.block_networks`), which increases in each coordinate:

- gated: z' = alpha f(z) + (1 - alpha) z with alpha = sigmoid(gate),
  ln|det| = sum softplus(ln J_ii + gate) - softplus(gate), where J_ii = df_i/dz_i > 0;
- normal: z' = z + f(z), ln|det| = sum softplus(ln J_ii).

f is bounded, as tanh is: without a residual the flow would reach a bounded region only, and a point outside of it would
have no density. The order of the coordinates is reversed after each map. The inverse finds a root for each coordinate.

Start: near the identity. Gates start at -ln(25 K): all K maps together shrink by 1/25 at most; of normal maps, the rows
of the last layer start at the length 1/(25 K).
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from nfbench.posteriors.block_networks import BlockNetworks, Layer, apply, solve
from nfbench.posteriors.context_flow import Context, ContextFlow, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.map_flow import MapCost
from nfbench.specification.registry import register_posterior

Residual = Literal["gated", "normal"]


class Bnaf(ContextFlow):
    """K block neural autoregressive maps.

    Args:
        dim: D.
        depth: K.
        residual: how a map mixes z with f(z).
        units: hidden units of each coordinate in each hidden layer.
        layers: hidden layers of each network.
        context: C, numbers for each data point that the networks see; 0: none.

    Attributes:
        blocks: the K networks f.
        gate: (K,), of gated maps; None for normal ones.
    """

    name = "bnaf"
    gate: nn.Parameter | None

    def __init__(self, dim: int, depth: int, residual: Residual, units: int, layers: int, context: int) -> None:
        super().__init__(dim, depth, context)
        self.blocks = BlockNetworks(depth, dim, units, layers, context)
        small = -math.log(25 * max(1, depth))
        if residual == "gated":
            self.gate = nn.Parameter(torch.full((depth,), small))
        else:
            self.gate = None
            self.blocks.g[-1].data.fill_(small)

    def networks(self, context: Tensor) -> list[list[Layer]]:
        """The layers of the K networks, each in the order that its map sees coordinates in.

        Args:
            context: (B or 1, P).

        Returns:
            L + 1 layers of each.
        """
        return self.blocks.networks(context)

    def _gates(self) -> tuple[Tensor | None, ...]:
        return self.depth * (None,) if self.gate is None else self.gate.unbind(0)

    def chain(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for layers, gate in zip(self.networks(context), self._gates(), strict=True):
            z, log_slopes = _map(layers, gate, z)
            z, log_det = z.flip(-1), log_det + log_slopes.sum(-1)
        return (z.flip(-1) if self.depth % 2 else z), log_det

    def chain_inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        z = z.flip(-1) if self.depth % 2 else z
        for layers, gate in reversed(list(zip(self.networks(context), self._gates(), strict=True))):
            one = z.new_ones(())
            by_f, by_z = (one, one) if gate is None else (gate.sigmoid(), (-gate).sigmoid())
            z = solve(layers, z.flip(-1), by_f, by_z)
            log_det = log_det - _map(layers, gate, z)[1].sum(-1)
        return z, log_det

    def map_cost(self, *, gradient: bool) -> MapCost:
        """A network (`BlockNetworks.cost`), and 8 flops for each coordinate of a draw: z' 3, softplus and the sum 5.

        With gradient what is elementwise counts twice again.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of the shared weights.
        """
        draw, row, shared = self.blocks.cost(gradient=gradient)
        return MapCost(combine((1, draw), (1, Cost(0, 8 * self.dim * (3 if gradient else 1)))), row, shared)


def _map(layers: list[Layer], gate: Tensor | None, z: Tensor) -> tuple[Tensor, Tensor]:
    """One map.

    Args:
        layers: of its network.
        gate: of a gated map, (); None for a normal one.
        z: (S, B, D).

    Returns:
        z' and ln dz_i'/dz_i, (S, B, D) both.
    """
    f, log_slopes = apply(layers, z)
    if gate is None:
        return z + f, softplus(log_slopes)
    return gate.sigmoid() * f + (-gate).sigmoid() * z, softplus(log_slopes + gate) - softplus(gate)


@register_posterior(
    "bnaf", label="BNAF ({residual})", cite="De Cao et al. 2019", year=2019, kind="autoregressive", autoregressive=True
)
def bnaf(
    dim: int, depth: int = 8, residual: Residual = "gated", units: Units = 8, layers: Units = 1, context: Context = 16
) -> Flow:
    """Block neural autoregressive flow: K maps that mix z with a network increasing in each coordinate.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        residual: gated, alpha f(z) + (1 - alpha) z, or normal, z + f(z).
        units: hidden tanh units of each coordinate in each hidden layer.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain, with its weights drawn from torch's own generator.
    """
    return Bnaf(dim, depth, residual, units, layers, context)
