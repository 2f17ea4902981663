"""zuko (Rozet et al. 2022): lazy transformations, made anew from the context in each call, as its documentation does.

Its flows turn data into noise. Its autoregressive ones take one call of their networks in that direction and D in the
other; `direction` says which of the two draws.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from nfbench.foundation.libraries import Library
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.library_flow import DirectedFlow, Direction
from nfbench.specification.registry import register_posterior

ZUKO = Library("zuko", "zuko")


class ZukoFlow(DirectedFlow):
    """A flow of zuko.

    Args:
        name: of the family.
        dim: D.
        depth: K.
        context: C.
        transform: zuko's lazy transformation with all maps.
        direction: ``draws``: noise goes through the transformation; ``density``: through its inverse.
    """

    def __init__(
        self, name: str, dim: int, depth: int, context: int, transform: Any, direction: Direction = "draws"
    ) -> None:
        super().__init__(ZUKO, name, dim, depth, context)
        self.transform = transform
        self.direction = direction

    def through(self, z: Tensor, context: Tensor | None, *, backwards: bool) -> tuple[Tensor, Tensor]:
        transform = self.transform(context)
        moved, log_det = (transform.inv if backwards else transform).call_and_ladj(z)
        return moved, log_det


def couplings(dim: int, orders: Sequence[Tensor], kept: Sequence[int], hidden: int) -> Any:
    """Additive couplings after permutations, with one hidden tanh layer each.

    Args:
        dim: D.
        orders: of the coordinates before each coupling, (D,) each.
        kept: how many of the first coordinates each coupling leaves as they are.
        hidden: units.

    Returns:
        zuko's lazy transformation; every second of its parts is a coupling.
    """
    flows, transforms, lazy = ZUKO.load("flows"), ZUKO.load("transforms"), ZUKO.load("lazy")
    layers: list[nn.Module] = []
    for order, first in zip(orders, kept, strict=True):
        coupling = flows.GeneralCouplingTransform(
            dim,
            mask=torch.arange(dim) < first,
            univariate=transforms.AdditiveTransform,
            shapes=[()],
            hidden_features=[hidden],
            activation=nn.Tanh,
        ).to(order.device)
        layers += [flows.UnconditionalTransform(transforms.PermutationTransform, order, buffer=True), coupling]
    return lazy.LazyComposedTransform(*layers)


def _made(
    family: str, name: str, dim: int, depth: int, context: int, direction: Direction = "draws", **options: Any
) -> Flow:
    made = getattr(ZUKO.load("flows"), family)(dim, context if depth else 0, transforms=depth, **options)
    return ZukoFlow(name, dim, depth, context, made.transform, direction)


@register_posterior(
    "zuko:nsf",
    label="NSF, autoregressive ({direction})",
    cite="Rozet et al. 2022; Durkan et al. 2019",
    year=2022,
    kind="autoregressive",
    autoregressive=True,
    library=ZUKO,
)
def nsf(
    dim: int,
    depth: int = 4,
    direction: Direction = "draws",
    bins: Annotated[int, Field(ge=2, le=500)] = 8,
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Neural spline flow of zuko: autoregressive rational-quadratic splines in the box [-5, 5]^D.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        direction: draws take one call of the networks and the density D of them, or the other way round, as zuko ships.
        bins: pieces of each spline.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at zuko's start.
    """
    return _made("NSF", "zuko:nsf", dim, depth, context, direction, bins=bins, hidden_features=layers * [hidden])


@register_posterior(
    "zuko:maf",
    label="MAF ({direction})",
    cite="Rozet et al. 2022; Papamakarios et al. 2017",
    year=2022,
    kind="autoregressive",
    autoregressive=True,
    library=ZUKO,
)
def maf(
    dim: int,
    depth: int = 4,
    direction: Direction = "draws",
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Masked autoregressive flow of zuko: affine maps; drawn from in one call it is an inverse autoregressive flow.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        direction: draws take one call of the networks and the density D of them, or the other way round, as zuko ships.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at zuko's start.
    """
    return _made("MAF", "zuko:maf", dim, depth, context, direction, hidden_features=layers * [hidden])


@register_posterior(
    "zuko:realnvp",
    label="RealNVP",
    cite="Rozet et al. 2022; Dinh et al. 2017",
    year=2022,
    kind="coupling",
    autoregressive=True,
    library=ZUKO,
)
def realnvp(dim: int, depth: int = 4, hidden: Units = 32, layers: Units = 1, context: Context = 16) -> Flow:
    """RealNVP of zuko: affine couplings of every second coordinate in turn.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at zuko's start.
    """
    return _made("RealNVP", "zuko:realnvp", dim, depth, context, hidden_features=layers * [hidden])


@register_posterior(
    "zuko:unaf",
    label="UMNN ({direction})",
    cite="Rozet et al. 2022; Wehenkel & Louppe 2019",
    year=2022,
    kind="autoregressive",
    autoregressive=True,
    library=ZUKO,
)
def unaf(
    dim: int,
    depth: int = 2,
    direction: Direction = "draws",
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Unconstrained monotonic networks of zuko: each coordinate is integrated numerically.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        direction: draws take one call of the networks and the density D of them, or the other way round, as zuko ships.
        hidden: units of each hidden layer, of the autoregressive networks and of the integrands.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at zuko's start.
    """
    sizes = layers * [hidden]
    return _made(
        "UNAF",
        "zuko:unaf",
        dim,
        depth,
        context,
        direction,
        hidden_features=sizes,
        network={"hidden_features": sizes},
    )
