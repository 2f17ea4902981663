"""Convex-combination linear inverse autoregressive flow, ccLinIAF (Tomczak & Welling 2017).

A draw is z = L z_0 with L = sum_k y_k L_k, where each L_k is lower triangular with a unit diagonal and the weights
y = softmax(logits) add up to 1. So L has a unit diagonal too, ln|det| = 0, and q is a Gaussian: whatever the numbers,
one L of `full-covariance` gives the same. The last logit is 0, as only differences count.

Start: the L_k are apart, and their mean, which L is at equal weights, is the identity (`LinearIaf.initial`).
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost
from nfbench.posteriors.triangular import TriangularFlow, count
from nfbench.specification.registry import register_posterior


class LinearIaf(TriangularFlow):
    """One linear map; theta is the numbers below the diagonal of L_1, ..., L_C, each row by row, then C - 1 logits.

    P = C D (D - 1) / 2 + C - 1. `UnitTriangular` says how the numbers below a diagonal are scaled.

    Args:
        dim: D.
        components: C, number of matrices.
    """

    name = "linear-iaf"

    def __init__(self, dim: int, components: int) -> None:
        super().__init__(dim, components * count(dim) + components - 1)
        self.components = components

    def below(self, theta: Tensor) -> Tensor:
        size = self.components * count(self.dim)
        matrices = theta[:, :size].reshape(len(theta), self.components, count(self.dim))
        logits = torch.nn.functional.pad(theta[:, size:], (0, 1))
        return (logits.softmax(-1).unsqueeze(-1) * matrices).sum(1)

    def initial(self) -> Tensor:
        """Numbers ~ N(0, 0.01) below the diagonals, shifted so that their mean over matrices is 0; equal weights.

        Equal matrices would have equal gradients, and the weights none.
        """
        below = 0.1 * torch.randn(self.components, count(self.dim))
        return torch.cat([(below - below.mean(0)).flatten(), torch.zeros(self.components - 1)])

    def map_cost(self, *, gradient: bool) -> MapCost:
        """The map (`Identity.cost` says how it is counted), with C matrices of T = D (D - 1) / 2 numbers.

        Numbers: theta read, P a row; with gradient read again and its gradient written.

        Flops a draw as `FullCovariance.map_cost`: 2 T; with gradient 4 T + 2 D more.

        Flops a row: the weights 4 C, the numbers weighted, summed and scaled 2 C T; with gradient that again, and C T
        for the gradients of the numbers, 2 C T for those of the weights and 4 C for those of the logits.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw and for each row of theta.
        """
        T, C = count(self.dim), self.components
        row = 4 * C + 2 * C * T
        if gradient:
            return MapCost(Cost(0, 6 * T + 2 * self.dim), Cost(3 * self.num_params, 2 * row + 3 * C * T + 4 * C))
        return MapCost(Cost(0, 2 * T), Cost(self.num_params, row))


@register_posterior(
    "linear-iaf",
    label="Linear IAF ({components} matrices)",
    cite="Tomczak & Welling 2017",
    year=2017,
    kind="linear",
    volume_preserving=True,
    linear=True,
    autoregressive=True,
)
def linear_iaf(dim: int, components: Annotated[int, Field(ge=1)] = 4) -> Flow:
    """Linear inverse autoregressive flow: a convex combination of unit lower triangular matrices.

    Args:
        dim: latent dimensions D.
        components: number of matrices that are combined.

    Returns:
        The linear map, whose numbers are all in theta.
    """
    return LinearIaf(dim, components)
