"""Householder flow (Tomczak & Welling 2016, "Improving variational auto-encoders using Householder flow").

A map reflects z at the hyperplane orthogonal to v: f(z) = z - 2 v (v.z) / ||v||^2. It is its own inverse, and
ln|det| = 0. A chain is an orthogonal matrix H, so that q = N(H mean, H diag(sigma^2) H^T): with K >= D - 1 every
Gaussian can be reached, and never more than a Gaussian. Here each map has its own v in theta, free or from features; in
the authors' code v_1 comes from the features and v_(k+1) is an affine function of v_k that all data points share.

Where a data point has many draws, all reflections are taken at once. With unit vectors v_k as the rows of V, the
numbers c_k = 2 v_k.z_(k-1) solve the triangular system (I/2 + strictly lower part of V V^T) c = V z, and
z_K = z - V^T c: two products with K x D matrices. Few draws are reflected one after the other.

Start: exactly the identity on a centred base, as pairs of equal reflections (`Householder.initial`).
"""

import torch
from torch import Tensor

from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost, MapFlow
from nfbench.posteriors.reflections import factors, one_by_one
from nfbench.posteriors.triangular import by_rows
from nfbench.specification.registry import register_posterior

_FEW = 8  # draws of a data point, up to which products of its reflections cost more than they save


class Householder(MapFlow):
    """K reflections, theta = v of each: P = K D.

    Args:
        dim: D.
        depth: K.
    """

    name = "householder"

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth, dim)

    def chain(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        return _reflect(z, maps)

    def chain_inverse(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        return _reflect(z, maps.flip(1))

    def initial(self) -> Tensor:
        """Pairs of equal vectors ~ N(0, I), each pair the identity; with K odd also the last coordinate's axis.

        The gradients of a pair are opposite, not zero. A reflection along an axis leaves a centred diagonal Gaussian as
        it is; v = 0 would have no direction.
        """
        pairs = torch.randn(self.depth // 2, 1, self.dim).expand(-1, 2, -1).reshape(-1, self.dim)
        axis = torch.eye(self.dim)[-1:] if self.depth % 2 else pairs[:0]
        return torch.cat([pairs, axis]).flatten()

    def map_cost(self, *, gradient: bool) -> MapCost:
        """One map (`Identity.cost` says how it is counted).

        Numbers: theta read, D a row; with gradient read again and its gradient written. Nothing is saved: a reflection
        undoes itself.

        Flops a draw: c = (2 / ||v||^2) v.z 2 D, z - c v 2 D. With gradient also: z rebuilt 2 D, as its product with v
        has only changed sign; dz reflected 4 D; the sums of c dz and of its like with z 4 D, that of c v.dz 2.

        Flops a row: 2 / ||v||^2 2 D; with gradient that again, and 2 D + 1 to go back through it.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw and for each row of theta.
        """
        D = self.dim
        if gradient:
            return MapCost(Cost(0, 14 * D + 2), Cost(3 * D, 6 * D + 1))
        return MapCost(Cost(0, 4 * D), Cost(D, 2 * D))


def _reflect(z: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Reflect z (S, B, D) at the hyperplanes of vectors (B or 1, K, D), the first first; ln|det| = 0 (S, B)."""
    rows, depth, _ = vectors.shape
    if rows >= depth and len(z) <= min(depth, _FEW):
        moved = one_by_one(z, vectors)
    else:
        units, products = factors(vectors)
        moved = z - by_rows(by_rows(z, units.mT), products)
    return moved, moved.new_zeros(moved.shape[:-1])


@register_posterior(
    "householder",
    label="Householder flow",
    cite="Tomczak & Welling 2016",
    year=2016,
    kind="linear",
    volume_preserving=True,
    linear=True,
)
def householder(dim: int, depth: int = 8) -> Flow:
    """Householder flow: K reflections z - 2 v (v.z) / |v|^2, which rotate the diagonal Gaussian.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain, whose numbers are all in theta.
    """
    return Householder(dim, depth)
