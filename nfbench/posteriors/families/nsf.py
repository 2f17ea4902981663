"""Neural spline flow: couplings by monotone rational-quadratic splines (Durkan, Bekasov, Murray & Papamakarios 2019).

A map moves half of the coordinates, each by a spline of its own, z_i' = spline_i(z_i), whose widths, heights and slopes
a network computes from the other half; ln|det| = sum ln of the slopes there. Inverse: a quadratic equation in each bin.
Outside the box [-bound, bound] a map is the identity; the affine base before the chain decides what lies in it.
`nfbench.kernels.layers.spline_reference` has the formulas, `CouplingFlow` says which coordinates move.

Start: the identity to rounding: the networks' last layers are zero, and raw slopes of zero mean slopes of 1.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from nfbench.kernels.layers.spline import spline
from nfbench.kernels.layers.spline_reference import bins_of, spline_inverse
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.coupling_flow import CouplingFlow
from nfbench.specification.registry import register_posterior


class SplineCoupling(CouplingFlow):
    """K couplings by rational-quadratic splines.

    Args:
        dim: D, at least 2.
        depth: K.
        bins: N of each spline.
        bound: splines act on [-bound, bound].
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: C, numbers for each data point that the networks see.

    Raises:
        InputError: `dim` is 1.
    """

    name = "nsf"

    def __init__(self, dim: int, depth: int, bins: int, bound: float, hidden: int, layers: int, context: int) -> None:
        super().__init__(dim, depth, 3 * bins - 1, hidden, layers, context)
        self.bins, self.bound = bins, bound

    def move(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return spline(z, numbers, self.bound)

    def move_back(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        raw = numbers.reshape(*numbers.shape[:-1], self.moved, 3 * self.bins - 1)
        return spline_inverse(z, bins_of(raw, self.bound))

    def move_cost(self, *, gradient: bool) -> int:
        """Count the flops of a spline for one number, from unconstrained numbers to y, ln dy/dx and its sum.

        N bins: exp, sum, division, two for the scale and one for the knot, of each width and each height, 12 N;
        softplus of the two slopes 10; y 18, ln dy/dx and the sum 14. What is elementwise counts twice again with
        gradient.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            Flops; the search for the bin is not counted.
        """
        return (12 * self.bins + 42) * (3 if gradient else 1)


@register_posterior(
    "nsf", label="Neural spline flow", cite="Durkan et al. 2019", year=2019, kind="coupling", autoregressive=True
)
def nsf(
    dim: int,
    depth: int = 8,
    bins: Annotated[int, Field(ge=2, le=500)] = 8,
    bound: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0,
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Neural spline flow: K couplings by rational-quadratic splines, the identity outside a box.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        bins: pieces of each spline.
        bound: half the width of the box, in units of z.
        hidden: units of each hidden tanh layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain, with its weights drawn from torch's own generator.

    Raises:
        InputError: `dim` is 1.
    """
    return SplineCoupling(dim, depth, bins, bound, hidden, layers, context)
