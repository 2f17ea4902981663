"""nflows (Durkan et al. 2020): transforms from data to noise, in rows of draws, with a context.

Couplings cost the same in both directions; the autoregressive transform takes one call of its network in the direction
that nflows calls forward and D in the other; `direction` says which of the two draws.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.libraries import Library
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.library_flow import DirectedFlow, Direction, reversal
from nfbench.specification.registry import register_posterior

NFLOWS = Library("nflows", "nflows")


class NflowsFlow(DirectedFlow):
    """A composite transform of nflows.

    Args:
        name: of the family.
        dim: D, at least 2.
        depth: K.
        context: C.
        maps: K transforms, with permutations between them.
        direction: ``draws``: noise goes through the transforms' forward; ``density``: through their inverse.
    """

    rows = True

    def __init__(
        self, name: str, dim: int, depth: int, context: int, maps: list[Any], direction: Direction = "density"
    ) -> None:
        super().__init__(NFLOWS, name, dim, depth, context, least=2)
        self.transform = composite(maps)
        self.direction = direction

    def through(self, z: Tensor, context: Tensor | None, *, backwards: bool) -> tuple[Tensor, Tensor]:
        moved, log_det = (self.transform.inverse if backwards else self.transform)(z, context=context)
        return moved, log_det


def composite(maps: list[Any]) -> Any:
    """One transform after the other.

    Args:
        maps: transforms.

    Returns:
        nflows' transform.
    """
    return NFLOWS.load("transforms").CompositeTransform(maps)


def permutation(order: Tensor) -> Any:
    """A permutation: y_j = z_order(j).

    Args:
        order: (D,).

    Returns:
        nflows' transform.
    """
    return NFLOWS.load("transforms").Permutation(order)


def coupling(kind: str, moved: Tensor, network: Any, **options: Any) -> Any:
    """A coupling.

    Args:
        kind: of nflows' transforms, such as ``AdditiveCouplingTransform``.
        moved: (D,), which coordinates it moves.
        network: a function of the numbers of coordinates that are kept, and of outputs, which gives the network.
        options: of the transform.

    Returns:
        nflows' transform.
    """
    return getattr(NFLOWS.load("transforms"), kind)(moved, network, **options)


def _couplings(
    name: str, kind: str, dim: int, depth: int, hidden: int, layers: int, context: int, **options: Any
) -> Flow:
    """K couplings of every second coordinate in turn, with residual networks, as in nflows' own RealNVP."""
    nets = NFLOWS.load("nn.nets")

    def network(kept: int, outputs: int) -> Any:
        return nets.ResidualNet(kept, outputs, hidden, context_features=context or None, num_blocks=layers)

    if dim == 1:  # a coupling of nothing is an error of nflows
        return NflowsFlow(name, dim, depth, context, [])
    moved = [torch.arange(dim) % 2 == number % 2 for number in range(depth)]
    return NflowsFlow(name, dim, depth, context, [coupling(kind, each, network, **options) for each in moved])


@register_posterior(
    "nflows:realnvp",
    label="RealNVP",
    cite="Durkan et al. 2020; Dinh et al. 2017",
    year=2020,
    kind="coupling",
    autoregressive=True,
    library=NFLOWS,
)
def realnvp(dim: int, depth: int = 4, hidden: Units = 32, layers: Units = 1, context: Context = 16) -> Flow:
    """Affine couplings of nflows, their scale between 0.001 and 1.001.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        hidden: units of each hidden layer of the networks.
        layers: residual blocks of two hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at nflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    return _couplings("nflows:realnvp", "AffineCouplingTransform", dim, depth, hidden, layers, context)


@register_posterior(
    "nflows:nsf",
    label="NSF",
    cite="Durkan et al. 2020; Durkan et al. 2019",
    year=2020,
    kind="coupling",
    autoregressive=True,
    library=NFLOWS,
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
    """Neural spline flow of nflows by couplings, with linear tails.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        bins: pieces of each spline.
        bound: half the width of the box, in units of z.
        hidden: units of each hidden layer of the networks.
        layers: residual blocks of two hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at nflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    kind, options = "PiecewiseRationalQuadraticCouplingTransform", {"num_bins": bins, "tail_bound": bound}
    return _couplings("nflows:nsf", kind, dim, depth, hidden, layers, context, tails="linear", **options)


@register_posterior(
    "nflows:maf",
    label="MAF ({direction})",
    cite="Durkan et al. 2020; Papamakarios et al. 2017",
    year=2020,
    kind="autoregressive",
    autoregressive=True,
    library=NFLOWS,
)
def maf(
    dim: int,
    depth: int = 4,
    direction: Direction = "draws",
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Masked affine autoregressive transforms of nflows; drawn from in one call they are an IAF.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        direction: draws take one call of the networks and the density D of them, or the other way round, as nflows
            ships.
        hidden: units of each hidden layer of the networks.
        layers: residual blocks of two hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at nflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    transforms = NFLOWS.load("transforms")
    maps: list[Any] = []
    for number in range(depth if dim > 1 else 0):
        maps += [permutation(reversal(dim))] if number else []
        maps.append(
            transforms.MaskedAffineAutoregressiveTransform(
                dim, hidden, context_features=context or None, num_blocks=layers
            )
        )
    return NflowsFlow("nflows:maf", dim, depth, context, maps, direction)


@register_posterior(
    "nflows:householder",
    label="Householder",
    cite="Durkan et al. 2020; Tomczak & Welling 2016",
    year=2020,
    kind="linear",
    volume_preserving=True,
    linear=True,
    library=NFLOWS,
)
def householder(dim: int, depth: int = 4) -> Flow:
    """Householder flow of nflows, the same for all data points.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of reflections.

    Returns:
        The chain at nflows' start: the identity for an even K up to 2 D; of more than 2 D reflections the
        last have the vector 0, and draws are NaN.

    Raises:
        InputError: `dim` is 1.
    """
    maps = [NFLOWS.load("transforms").HouseholderSequence(dim, depth)] if depth else []
    return NflowsFlow("nflows:householder", dim, depth, 0, maps)
