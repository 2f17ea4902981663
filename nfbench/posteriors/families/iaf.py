"""Inverse autoregressive flow (Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling 2016).

An autoregressive network computes m_i and s_i from the coordinates before i and the context. A map is

- gated: z_i' = (g_i z_i + (1 - g_i) m_i) / sigmoid(c) with g_i = sigmoid(s_i + c), c = 1,
  ln|det| = sum ln sigmoid(s_i + c) - ln sigmoid(c);
- affine: z_i' = z_i exp(s_i) + m_i, ln|det| = sum s_i, where s_i = 2 tanh(.) so that no map overflows.

The order of the coordinates is reversed after each map. A draw takes one pass through each network, the inverse D of
them, one after the other: it is the same map as that of a masked autoregressive flow, read the other way.

Start: exactly the identity, as the networks' last layers are zero. The paper's gated map has no division by sigmoid(c),
so that at its start K maps shrink z by sigmoid(c)^K; the constant factor changes nothing else.
"""

import math
from typing import Literal

from torch import Tensor

from nfbench.kernels.layers import affine
from nfbench.posteriors.context_flow import Context, ContextFlow, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.map_flow import MapCost
from nfbench.posteriors.networks import AutoregressiveNetworks, Conditioner, moved_by
from nfbench.specification.registry import register_posterior

Mode = Literal["gated", "affine"]
_ALPHA = 2.0  # bound on |s| of an affine map
_GATE = 1.0  # c, the bias of a gate


class Iaf(ContextFlow):
    """K inverse autoregressive maps.

    Args:
        dim: D, at least 2: one coordinate has none before it.
        depth: K.
        mode: the form of a map.
        hidden: H, units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: C, numbers for each data point that the networks see; 0: none.

    Attributes:
        form: of a map: the bound on |s| of an affine one; of a gated one c and sigmoid(c), what it is divided by.
        networks: the K networks, from D coordinates to D numbers m and D numbers s.

    Raises:
        InputError: `dim` is 1.
    """

    name = "iaf"

    def __init__(self, dim: int, depth: int, mode: Mode, hidden: int, layers: int, context: int) -> None:
        super().__init__(dim, depth, context, least=2)
        self.gated = mode == "gated"
        constants = (_GATE, 1 / (1 + math.exp(-_GATE))) if self.gated else (_ALPHA, 1.0)
        self.form = affine.Form(constants[0], self.gated, scale_first=False, unit=constants[1])
        self.networks = AutoregressiveNetworks(depth, dim, 2, hidden, layers, context)

    def conditioners(self, context: Tensor) -> list[Conditioner]:
        """The K networks; the odd ones count coordinates from the last, which is the reversal.

        Args:
            context: (B or 1, P).

        Returns:
            K functions of z (S, B, D) that return m and s, one after the other, (S, B, 2 D).
        """
        return self.networks.conditioners(context)

    def move(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Move each coordinate, given the numbers that the network computed from those before it.

        Args:
            z: (S, B, D).
            numbers: m and s, (S, B, 2 D).

        Returns:
            z' and ln of the derivative of each coordinate, (S, B, D) both.
        """
        return affine.move(z, numbers, self.form)

    def move_back(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `move`.

        Args:
            z: z' (S, B, D).
            numbers: m and s, (S, B, 2 D).

        Returns:
            z and ln of the derivative of this inverse for each coordinate, (S, B, D) both.
        """
        return affine.move_back(z, numbers, self.form)

    def chain(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for network in self.conditioners(context):
            z, change = moved_by(network, z, self.form) or self._move(z, network)
            log_det = log_det + change
        return z, log_det

    def _move(self, z: Tensor, network: Conditioner) -> tuple[Tensor, Tensor]:
        z, log_slopes = self.move(z, network(z))
        return z, log_slopes.sum(-1)

    def chain_inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `chain`: of each map, D times all coordinates at once, of which one more is right each time.

        Args:
            z: z_K (S, B, D).
            context: (B or 1, P).

        Returns:
            z (S, B, D) and ln|det dz/dz_K| (S, B).
        """
        log_det = z.new_zeros(z.shape[:-1])
        for network in reversed(self.conditioners(context)):
            moved, log_slopes = z, z
            for _ in range(self.dim):
                z, log_slopes = self.move_back(moved, network(z))
            log_det = log_det + log_slopes.sum(-1)
        return z, log_det

    def map_cost(self, *, gradient: bool) -> MapCost:
        """A network (`Networks.cost`, weights that the masks leave) and for each coordinate of a draw what `move` does.

        Gated 9 flops: s + c 1, exp(-.), 1 + ., 1/. and ln 4, z - m, times g, plus m 3, the sum 1. With gradient 10
        more: z rebuilt 3, dz, dm and dg 3, d logit = (1 - g)(g dg + the gradient of ln|det|) 4. Affine 6 and 15, as
        RealNVP.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of the shared weights.
        """
        draw, row, shared = self.networks.cost(gradient=gradient)
        forward, both = (9, 19) if self.gated else (6, 15)
        moves = Cost(0, self.dim * (both if gradient else forward))
        return MapCost(combine((1, draw), (1, moves)), row, shared)


@register_posterior(
    "iaf", label="IAF ({mode})", cite="Kingma et al. 2016", year=2016, kind="autoregressive", autoregressive=True
)
def iaf(
    dim: int, depth: int = 8, mode: Mode = "gated", hidden: Units = 32, layers: Units = 1, context: Context = 16
) -> Flow:
    """Inverse autoregressive flow: K maps that gate or scale each coordinate by networks of those before it.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        mode: gated, g z + (1 - g) m, or affine, z exp(s) + m.
        hidden: units of each hidden tanh layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain, with its weights drawn from torch's own generator.

    Raises:
        InputError: `dim` is 1.
    """
    return Iaf(dim, depth, mode, hidden, layers, context)
