"""normflows (Stimper et al. 2023): flows from noise to draws, in rows of draws.

Its planar, radial and affine coupling flows are the same for all data points; its splines and its autoregressive flow
take a context. Planar flows with tanh and radial ones have no inverse: no density at points that were not drawn.
"""

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from nfbench.foundation.libraries import Library
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.library_flow import LibraryChain, reversal
from nfbench.specification.registry import register_posterior

NORMFLOWS = Library("normflows", "normflows")


class NormflowsFlow(LibraryChain):
    """A chain of normflows' flows, as its `NormalizingFlow` and `ConditionalNormalizingFlow` call them."""

    rows = True

    def step(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flow = self.maps[number]
        moved, change = flow(z) if context is None else flow(z, context=context)
        return moved, change

    def step_back(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flow = self.maps[number]
        moved, change = flow.inverse(z) if context is None else flow.inverse(z, context=context)
        return moved, change


def planar_maps(dim: int, depth: int) -> list[Any]:
    """Planar flows with tanh at their start.

    Args:
        dim: D.
        depth: K.

    Returns:
        K modules with parameters ``w`` and ``u`` (1, D) and ``b`` (1,).
    """
    return [NORMFLOWS.load().flows.Planar((dim,)) for _ in range(depth)]


def radial_maps(dim: int, depth: int) -> list[Any]:
    """Radial flows at their start.

    Args:
        dim: D.
        depth: K.

    Returns:
        K modules with parameters ``z_0`` (1, D), ``alpha`` and ``beta`` (1,).
    """
    return [NORMFLOWS.load().flows.Radial((dim,)) for _ in range(depth)]


def coupling_map(network: nn.Module, *, scale: bool = True) -> Any:
    """An affine or additive coupling of the second half of the coordinates.

    Args:
        network: from the first half to scale and shift, alternating, or to the shift.
        scale: whether there is a scale.

    Returns:
        normflows' flow.
    """
    return NORMFLOWS.load().flows.AffineCouplingBlock(network, scale=scale)


def permutation(order: Tensor) -> Any:
    """A permutation: y_j = z_order(j).

    Args:
        order: (D,).

    Returns:
        normflows' flow.
    """
    permute = NORMFLOWS.load().flows.Permute(len(order))
    permute.perm, permute.inv_perm = order, order.argsort()
    return permute


@register_posterior(
    "normflows:planar", label="Planar", cite="Stimper et al. 2023", year=2023, kind="residual", library=NORMFLOWS
)
def planar(dim: int, depth: int = 8) -> Flow:
    """Planar flow of normflows, the same for all data points.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain at normflows' start; it has no inverse.
    """
    return NormflowsFlow(NORMFLOWS, "normflows:planar", dim, depth, 0, planar_maps(dim, depth), invertible=False)


@register_posterior(
    "normflows:radial", label="Radial", cite="Stimper et al. 2023", year=2023, kind="residual", library=NORMFLOWS
)
def radial(dim: int, depth: int = 8) -> Flow:
    """Radial flow of normflows, the same for all data points.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain at normflows' start; it has no inverse.
    """
    return NormflowsFlow(NORMFLOWS, "normflows:radial", dim, depth, 0, radial_maps(dim, depth), invertible=False)


@register_posterior(
    "normflows:realnvp",
    label="RealNVP",
    cite="Stimper et al. 2023; Dinh et al. 2017",
    year=2023,
    kind="coupling",
    autoregressive=True,
    library=NORMFLOWS,
)
def realnvp(dim: int, depth: int = 4, hidden: Units = 32, layers: Units = 1) -> Flow:
    """RealNVP of normflows, the same for all data points: couplings and swaps of the halves, as in its examples.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.

    Returns:
        The chain at normflows' start, the identity but for swaps.

    Raises:
        InputError: `dim` is 1.
    """
    library = NORMFLOWS.load()
    flow = NormflowsFlow(NORMFLOWS, "normflows:realnvp", dim, depth, 0, (), least=2)
    kept = (dim + 1) // 2
    for _ in range(depth):
        network = library.nets.MLP([kept, *(layers * [hidden]), 2 * (dim - kept)], init_zeros=True)
        flow.maps.extend([coupling_map(network), library.flows.Permute(dim, mode="swap")])
    return flow


@register_posterior(
    "normflows:nsf",
    label="NSF",
    cite="Stimper et al. 2023; Durkan et al. 2019",
    year=2023,
    kind="coupling",
    library=NORMFLOWS,
)
def nsf(
    dim: int,
    depth: int = 4,
    bins: Annotated[int, Field(ge=2, le=500)] = 8,
    bound: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0,
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Neural spline flow of normflows by couplings, their masks alternating.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        bins: pieces of each spline.
        bound: half the width of the box, in units of z.
        hidden: units of each hidden layer of the networks.
        layers: residual blocks of two hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at normflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    library = NORMFLOWS.load()
    flow = NormflowsFlow(NORMFLOWS, "normflows:nsf", dim, depth, context, (), least=2)
    for number in range(depth):
        flow.maps.append(
            library.flows.CoupledRationalQuadraticSpline(
                dim,
                layers,
                hidden,
                num_context_channels=context or None,
                num_bins=bins,
                tail_bound=bound,
                reverse_mask=number % 2 == 1,
            )
        )
    return flow


@register_posterior(
    "normflows:iaf",
    label="IAF",
    cite="Stimper et al. 2023; Kingma et al. 2016",
    year=2023,
    kind="autoregressive",
    autoregressive=True,
    library=NORMFLOWS,
)
def iaf(dim: int, depth: int = 4, hidden: Units = 32, layers: Units = 1, context: Context = 16) -> Flow:
    """Masked affine autoregressive flow of normflows, which it calls in the direction that draws in one call.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        hidden: units of each hidden layer of the networks.
        layers: residual blocks of two hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at normflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    flows = NORMFLOWS.load().flows
    flow = NormflowsFlow(NORMFLOWS, "normflows:iaf", dim, depth, context, (), least=2)
    for number in range(depth):
        if number:
            flow.maps.append(permutation(reversal(dim)))
        flow.maps.append(
            flows.MaskedAffineAutoregressive(dim, hidden, context_features=context or None, num_blocks=layers)
        )
    return flow
