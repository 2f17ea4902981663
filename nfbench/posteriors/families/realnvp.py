"""RealNVP: affine couplings (Dinh, Sohl-Dickstein & Bengio 2017, eq. 7-8).

A map moves half of the coordinates by a function of the others: z_B' = z_B exp(s) + t with s = alpha tanh(a), where a
and t are computed by a network from z_A; ln|det| = sum s. Inverse: z_B = (z_B' - t) exp(-s). Alpha bounds what one map
can stretch, so that no map overflows. `CouplingFlow` says which coordinates move.

Start: exactly the identity, as the networks' last layers are zero.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from nfbench.kernels.layers import affine
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.coupling_flow import CouplingFlow
from nfbench.posteriors.networks import Conditioner, moved_by
from nfbench.specification.registry import register_posterior


class RealNvp(CouplingFlow):
    """K affine couplings.

    Args:
        dim: D, at least 2.
        depth: K.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        alpha: bound on |s|.
        context: C, numbers for each data point that the networks see.

    Raises:
        InputError: `dim` is 1.
    """

    name = "realnvp"

    def __init__(self, dim: int, depth: int, hidden: int, layers: int, alpha: float, context: int) -> None:
        super().__init__(dim, depth, 2, hidden, layers, context)
        self.form = affine.Form(alpha, gated=False, scale_first=True)

    def couple(self, z: Tensor, network: Conditioner) -> tuple[Tensor, Tensor]:
        return moved_by(network, z, self.form) or super().couple(z, network)

    def move(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return affine.move(z, numbers, self.form)

    def move_back(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return affine.move_back(z, numbers, self.form)

    def move_cost(self, *, gradient: bool) -> int:
        """Six flops: tanh, times alpha, exp, times z, plus t, summed.

        With gradient nine more: z rebuilt 2, dz = dz' e^s 1, ds from dz z and ln|det| 2, through alpha tanh 4.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            Flops.
        """
        return 15 if gradient else 6


@register_posterior(
    "realnvp", label="RealNVP", cite="Dinh et al. 2017, eq. 7", year=2017, kind="coupling", autoregressive=True
)
def realnvp(
    dim: int,
    depth: int = 8,
    hidden: Units = 32,
    layers: Units = 1,
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0,
    context: Context = 16,
) -> Flow:
    """RealNVP: K affine couplings z_B exp(s) + t, |s| < alpha, s and t networks of the other coordinates.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        hidden: units of each hidden tanh layer of the networks.
        layers: hidden layers of each network.
        alpha: bound on |s|, s = alpha tanh(.).
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain, with its weights drawn from torch's own generator.

    Raises:
        InputError: `dim` is 1.
    """
    return RealNvp(dim, depth, hidden, layers, alpha, context)
