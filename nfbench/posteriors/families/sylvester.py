"""Sylvester flows (van den Berg, Hasenclever, Tomczak & Welling 2018): planar flows with M units a map instead of one.

A map is f(z) = z + Q R tanh(a) with a = S Q^T z + b, where the M columns of Q are orthonormal and R and S (the paper's
R with a tilde) are M x M upper triangular. By Sylvester's identity ln|det| = sum_i ln(1 + (1 - tanh^2 a_i) r_ii s_ii).
The map is invertible where r_ii s_ii > -1: r_ii = tanh(raw r_i) and s_ii = tanh(raw s_i), as in the authors' code.

`mixing` says what Q is: orthogonal, the first M columns of a product of M reflections, with M <= D to choose (the
authors orthogonalise a matrix by an iteration, whose ln|det| is wrong where it has not converged); householder, a
product of a chosen number of reflections, M = D; triangular, the identity, and in every second map the reversal, M = D.

The inverse is exact: with y = Q^T z and y' = Q^T f(z), each y_i from i = M down to 1 solves one increasing equation in
one unknown, y_i + r_ii tanh(s_ii y_i + c_i) = y'_i - sum_(j > i) r_ij tanh(a_j), c_i = b_i + sum_(j > i) s_ij y_j.

Start: R near 0, all else of the order of 1 (`Sylvester.initial`): R = 0 would give S and b no gradient.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.numerics import full_product
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost, MapFlow
from nfbench.posteriors.reflections import factors
from nfbench.posteriors.sylvester_maps import Maps, activations_of, log_det
from nfbench.posteriors.triangular import UnitTriangular, by_rows, count
from nfbench.specification.registry import register_posterior

Mixing = Literal["orthogonal", "householder", "triangular"]


class Sylvester(MapFlow):
    """K maps, theta = (vectors of the reflections, R and S above their diagonals, raw r, raw s, b) of each.

    With n reflections P = K (n D + M (M - 1) + 3 M). `UnitTriangular` says how numbers beside a diagonal are scaled.

    Args:
        dim: D.
        depth: K.
        mixing: what Q is.
        units: M for orthogonal; "all" is D.
        reflections: n for householder.

    Raises:
        InputError: `units` is larger than `dim`, or given where M is D.
    """

    name = "sylvester"
    odd: Tensor
    fixed: Tensor

    def __init__(self, dim: int, depth: int, mixing: Mixing, units: int | Literal["all"], reflections: int) -> None:
        if units != "all" and (mixing != "orthogonal" or units > dim):
            expected = f"at most dim={dim}" if mixing == "orthogonal" else f"all, as mixing={mixing}"
            raise InputError(f"posterior 'sylvester': units={units}: expected {expected}")
        self.units = dim if units == "all" else units
        self.reflections = {"orthogonal": self.units, "householder": reflections, "triangular": 0}[mixing]
        self.sizes = [self.reflections * dim, count(self.units), count(self.units), *[self.units] * 3]
        super().__init__(dim, depth, sum(self.sizes))
        self.triangular = UnitTriangular(self.units)
        odd, eye = torch.arange(depth).reshape(1, depth, 1, 1) % 2 == 1, torch.eye(dim)
        self.register_buffer("odd", odd, persistent=False)
        fixed = torch.where(odd, eye.flip(0), eye) if mixing == "triangular" else torch.zeros(0)
        self.register_buffer("fixed", fixed, persistent=False)

    def parts(self, maps: Tensor) -> Maps:
        """Split the numbers of maps and build their matrices.

        Args:
            maps: (B or 1, K, R).

        Returns:
            Q, R, S, the least slopes and b.
        """
        rows, depth = maps.shape[:2]
        vectors, r, s, raw_r, raw_s, b = torch.split(maps, self.sizes, -1)
        lower = [
            self.triangular.below(below.reshape(rows * depth, count(self.units))).reshape(
                rows, depth, self.units, self.units
            )
            + torch.diag_embed(raw.tanh())
            for below, raw in ((r, raw_r), (s, raw_s))
        ]
        logs = [torch.nn.functional.logsigmoid(2 * raw) for raw in (raw_r, raw_s, raw_r + raw_s)]
        least = 2 * (logs[0] + logs[1] - logs[2]).exp()  # 1 + tanh(x) tanh(y) = cosh(x + y) / (cosh(x) cosh(y)) > 0
        return Maps(self._orthonormal(vectors), lower[0], lower[1], least, b)

    def _orthonormal(self, vectors: Tensor) -> Tensor:
        """Q (B or 1, K, D, M) from the vectors (B or 1, K, n D) of its reflections."""
        if not self.reflections:
            return self.fixed
        units, products = factors(vectors.reshape(-1, self.reflections, self.dim))
        eye = torch.eye(self.dim, self.units, dtype=vectors.dtype, device=vectors.device)
        q = eye - full_product(units.mT, products[..., : self.units])
        return q.reshape(*vectors.shape[:2], self.dim, self.units)

    def _mixed(self, q: Tensor, matrices: Tensor) -> Tensor:
        """Q times matrices (B or 1, K, M, M)."""
        if self.reflections:
            return full_product(q, matrices)
        return torch.where(self.odd, matrices.flip(-2), matrices)

    def chain(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        if not self.depth:
            return z, z.new_zeros(z.shape[:-1])
        parts = self.parts(maps)
        reads, writes = self._mixed(parts.q, parts.s), self._mixed(parts.q, parts.r.mT).mT
        activations = []
        for read, write, b in zip(reads.unbind(1), writes.unbind(1), parts.b.unbind(1), strict=True):
            h = torch.tanh(by_rows(z, read) + b)
            z = z + by_rows(h, write)
            activations.append(h)
        return z, log_det(torch.stack(activations, -2), parts.least)

    def chain_inverse(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        if not self.depth:
            return z, z.new_zeros(z.shape[:-1])
        parts = self.parts(maps)
        activations = []
        for k in reversed(range(self.depth)):
            q, r, s, least, b = (part[:, k] for part in parts)
            h = activations_of(by_rows(z, q), r, s, least, b)
            z = z - by_rows(by_rows(h, r), q.mT)
            activations.append(h)
        return z, -log_det(torch.stack(activations[::-1], -2), parts.least)

    def initial(self) -> Tensor:
        """Vectors, S, raw s and b ~ N(0, 1), R and raw r ~ N(0, 0.03^2 / K): nearly the identity, no two maps alike."""
        numbers = torch.randn(self.depth, self.numbers)
        _, r, _, raw_r, _, _ = torch.split(numbers, self.sizes, -1)
        for part in (r, raw_r):
            part *= 0.03 / math.sqrt(max(1, self.depth))
        return numbers.flatten()

    def map_cost(self, *, gradient: bool) -> MapCost:
        """One map (`Identity.cost` says how it is counted), with M units, n reflections and R numbers.

        Numbers: theta read, R a row; with gradient read again and its gradient written, and the M activations of each
        draw written and read back: z is rebuilt from them.

        Flops a draw: two products with D x M matrices 4 D M, tanh and ln 7 M. With gradient also: z rebuilt 2 D M, the
        products' transposes 4 D M, sums over draws 4 D M, 12 M of what is elementwise. With triangular mixing half of
        each matrix is 0: (D + 1) / 2 in the place of D.

        Flops a row: Q 2 n D (n + M + 1), the two matrices 2 D M (M + 1) (nothing if triangular), the least slopes 12 M,
        M (M - 1) for scales; with gradient three times as many.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw and for each row of theta.
        """
        D, M, n = self.dim, self.units, self.reflections
        product = 2 * D * M if n else D * (D + 1)
        row = 2 * n * D * (n + M + 1) + (2 * D * M * (M + 1) if n else 0) + 12 * M + M * (M - 1)
        if gradient:
            return MapCost(Cost(2 * M, 7 * product + 19 * M), Cost(3 * self.numbers, 3 * row))
        return MapCost(Cost(0, 2 * product + 7 * M), Cost(self.numbers, row))


@register_posterior(
    "sylvester",
    label="Sylvester flow ({mixing})",
    cite="van den Berg et al. 2018",
    year=2018,
    kind="residual",
    autoregressive=lambda options: options["mixing"] == "triangular",
)
def sylvester(
    dim: int,
    depth: int = 4,
    mixing: Mixing = "orthogonal",
    units: Annotated[int, Field(ge=1)] | Literal["all"] = "all",
    reflections: Annotated[int, Field(ge=1)] = 8,
) -> Flow:
    """Sylvester flow: K maps z + Q R tanh(S Q^T z + b) with orthonormal Q and triangular R and S.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        mixing: what Q is: orthogonal columns, a product of reflections, or the identity and the reversal in turn.
        units: M, columns of Q for mixing=orthogonal; all: as many as D.
        reflections: factors of Q for mixing=householder.

    Returns:
        The chain, whose numbers are all in theta.

    Raises:
        InputError: more units than dimensions, or units chosen for another mixing than orthogonal.
    """
    return Sylvester(dim, depth, mixing, units, reflections)
