"""NICE as a volume-preserving flow (Dinh et al. 2014; Rezende & Mohamed 2015, Sec 5, eq. 16-19).

A map mixes all coordinates, y = z M_k, by a permutation or a rotation that is drawn once and never learned, and then
shifts one half by a function of the other: (y_A, y_B) -> (y_A, y_B + h_lambda(y_A)). There is no scaling layer, so that
ln|det| = 0. The shift, whose form the papers leave open, is a network with one hidden tanh layer.

Start: shifts near zero, hinges of the hidden units where the base has its mass (`Nice.initial`).
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.kernels.coupling import reference
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost, MapFlow
from nfbench.specification.registry import register_posterior

Mixing = Literal["permutation", "orthogonal"]


class Nice(MapFlow):
    """K additive couplings, each after a fixed mixing.

    The shift network's weights are shared by all data points; its hidden biases are theta: R = hidden, P = K hidden.
    Its output is divided by sqrt(K hidden), so that a step of an optimizer moves z about as far at every depth and
    width: one learning rate serves them all.

    Args:
        dim: D, at least 2.
        depth: K.
        mixing: whether a fixed random permutation or rotation comes before each coupling.
        hidden: H, units of each shift network's hidden layer.

    Attributes:
        basis: (K, D, D), the products M_1 ... M_k of the mixings.
        reads: (K, D), the unmixed coordinates that a coupling reads (`reference.used`).
        writes: (K, D), those that it shifts.
        w_in: (K, |A|, hidden) weights of the hidden layers.
        w_out: (K, hidden, |B|) weights of the output layers, before they are scaled.
        b_out: (K, |B|) their biases, before they are scaled.

    Raises:
        InputError: `dim` is 1, so that there is nothing to couple.
    """

    name = "nice"
    basis: Tensor
    reads: Tensor
    writes: Tensor

    def __init__(self, dim: int, depth: int, mixing: Mixing, hidden: int) -> None:
        if dim < 2:
            raise InputError(f"posterior 'nice': dim={dim}: a coupling needs at least 2")
        super().__init__(dim, depth, hidden)
        self.hidden = hidden
        self.rotates = mixing == "orthogonal"
        self.scale = 1 / math.sqrt(hidden * max(1, depth))
        read, shifted = dim - dim // 2, dim // 2
        draw = {"permutation": _permutation, "orthogonal": _orthogonal}[mixing]
        total, products = torch.eye(dim, dtype=torch.float64), []
        for _ in range(depth):
            total = total @ draw(dim)
            products.append(total)
        basis = torch.stack(products) if products else torch.zeros(0, dim, dim)
        self.register_buffer("basis", basis.to(torch.get_default_dtype()))
        for name, rows in zip(("reads", "writes"), reference.used(basis, read), strict=True):
            self.register_buffer(name, rows)
        self.w_in = nn.Parameter(torch.randn(depth, read, hidden) * math.sqrt(2 / read))
        self.w_out = nn.Parameter(0.01 * torch.randn(depth, hidden, shifted))
        self.b_out = nn.Parameter(torch.zeros(depth, shifted))

    @property
    def mixing(self) -> Tensor:
        """(K, D, D): M_1 ... M_K, which `basis` keeps as the products M_1, M_1 M_2, ..."""
        first = torch.eye(self.dim, dtype=self.basis.dtype, device=self.basis.device).unsqueeze(0)
        return torch.cat([first, self.basis])[:-1].mT @ self.basis

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Move or cast, then make the mixing orthogonal to the new dtype's precision.

        One Newton-Schulz step M (3 I - M'M) / 2 squares the error of a cast up, 1e-7 to 1e-14; permutations stay exact.
        """
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        eye = torch.eye(self.dim, dtype=self.basis.dtype, device=self.basis.device)
        self.basis = self.basis @ (1.5 * eye - 0.5 * self.basis.mT @ self.basis)
        return self

    def chain(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        z_k = reference.chain(z, *self._network(maps), (self.reads, self.writes))
        return z_k, z.new_zeros(z_k.shape[:-1])

    def chain_inverse(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        z_0 = reference.inverse(z, *self._network(maps))
        return z_0, z.new_zeros(z_0.shape[:-1])

    def _network(self, b_in: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The mixings and the shift networks, as `reference.chain` takes them, from hidden biases (B or 1, K, H)."""
        return self.basis, self.w_in, b_in, self.w_out * self.scale, self.b_out * self.scale

    def initial(self) -> Tensor:
        """Hidden biases ~ N(0, 2): the units' hinges lie where the base has its mass."""
        return torch.randn(self.num_params) * math.sqrt(2)

    def map_cost(self, *, gradient: bool) -> MapCost:
        """One map (`Identity.cost` says how it is counted), with H hidden units, A coordinates read and M shifted.

        Numbers: the weights A H + H M + M, once; hidden biases, H a row; both with gradient read again and their
        gradient written. The mixing, D^2 (D for a permutation), with gradient twice. Nothing is saved: a coupling is
        undone exactly.

        Flops a draw: the two products 2 D H, tanh H, the shift M. With gradient also: their transposes 4 D H - H, and
        4 H + M of what is elementwise or summed; hidden units count as kept. A permutation costs nothing; a rotation,
        each way, 2 D^2 - D or, folded into both layers' weights, 2 D H: what is less.

        Flops of the weights: M (H + 1) for their scale, with gradient twice.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of the shared weights.
        """
        D, H, M = self.dim, self.hidden, self.dim // 2
        weights, mixing = (D - M) * H + H * M + M, D * D if self.rotates else D
        turn = min(2 * D * D - D, 2 * D * H) if self.rotates else 0
        if gradient:
            shared = Cost(3 * weights + 2 * mixing, 2 * M * (H + 1))
            return MapCost(Cost(0, 6 * D * H + 4 * H + 2 * M + 2 * turn), Cost(3 * H, 0), shared)
        return MapCost(Cost(0, 2 * D * H + H + M + turn), Cost(H, 0), Cost(weights + mixing, M * (H + 1)))


def _permutation(dim: int) -> Tensor:
    """A uniformly random permutation matrix (D, D) in float64."""
    return torch.eye(dim, dtype=torch.float64)[torch.randperm(dim)]


def _orthogonal(dim: int) -> Tensor:
    """A random orthogonal matrix (D, D) in float64, uniform (Haar): Q of a Gaussian matrix, signs as R's diagonal."""
    q, r = torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64))
    signed: Tensor = q * r.diagonal().sign()
    return signed


@register_posterior(
    "nice",
    label="NICE ({mixing})",
    cite="Dinh et al. 2014; Rezende & Mohamed 2015, eq. 18",
    year=2014,
    kind="coupling",
    volume_preserving=True,
)
def nice(dim: int, depth: int = 8, mixing: Mixing = "permutation", hidden: Annotated[int, Field(ge=1)] = 32) -> Flow:
    """Volume-preserving flow: K additive couplings, each after a fixed random permutation or rotation.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        mixing: what comes before each coupling: a fixed random permutation, or a rotation.
        hidden: units of the hidden tanh layer of each shift network.

    Returns:
        The chain, with its mixings and weights drawn from torch's own generator.

    Raises:
        InputError: `dim` is 1.
    """
    return Nice(dim, depth, mixing, hidden)
