"""torchflows: bijections from data to noise, in rows of draws; noise goes through their inverses.

Its architectures put normalisations by the first batch of data between layers, which a posterior has not: the chains
here are its own layers, with reversals of the coordinates between those that are triangular (its own reversal
indexes as torch no longer does). Its planar and radial layers have the drawing direction only.
"""

from torch import Tensor

from nfbench.foundation.libraries import Library
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.library_flow import LibraryChain
from nfbench.specification.registry import register_posterior

TORCHFLOWS = Library("torchflows", "torchflows")


class TorchflowsFlow(LibraryChain):
    """A chain of torchflows' bijections; coordinates are reversed between those that have an inverse."""

    rows = True

    def step(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = z.flip(-1) if number and self.invertible else z
        moved, change = self.maps[number].inverse(z, context=context)
        return moved, change

    def step_back(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        moved, change = self.maps[number](z, context=context)
        return moved.flip(-1) if number else moved, change


def _residual(name: str, module: str, kind: str, dim: int, depth: int) -> Flow:
    """K planar or radial layers, the same for all data points."""
    layer = getattr(TORCHFLOWS.load(f"bijections.finite.residual.{module}"), kind)
    return TorchflowsFlow(TORCHFLOWS, name, dim, depth, 0, [layer((dim,)) for _ in range(depth)], invertible=False)


def _autoregressive(name: str, kind: str, dim: int, depth: int, hidden: int, layers: int, context: int) -> Flow:
    """K couplings or autoregressive layers."""
    flow = TorchflowsFlow(TORCHFLOWS, name, dim, depth, context, (), least=2)
    made = getattr(TORCHFLOWS.load("bijections.finite.autoregressive.layers"), kind)
    networks = {"n_hidden": hidden, "n_layers": layers + 1}
    for _ in range(depth):
        flow.maps.append(made((dim,), context_shape=(context,) if context else None, conditioner_kwargs=networks))
    return flow


@register_posterior(
    "torchflows:planar", label="Planar", cite="torchflows", year=2023, kind="residual", library=TORCHFLOWS
)
def planar(dim: int, depth: int = 8) -> Flow:
    """Planar flow of torchflows, with the logistic function for tanh, the same for all data points.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain at torchflows' start; it has no inverse.
    """
    return _residual("torchflows:planar", "planar", "Planar", dim, depth)


@register_posterior(
    "torchflows:radial", label="Radial", cite="torchflows", year=2023, kind="residual", library=TORCHFLOWS
)
def radial(dim: int, depth: int = 8) -> Flow:
    """Radial flow of torchflows, the same for all data points.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain at torchflows' start; it has no inverse.
    """
    return _residual("torchflows:radial", "radial", "Radial", dim, depth)


@register_posterior(
    "torchflows:realnvp",
    label="RealNVP",
    cite="torchflows; Dinh et al. 2017",
    year=2023,
    kind="coupling",
    autoregressive=True,
    library=TORCHFLOWS,
)
def realnvp(dim: int, depth: int = 4, hidden: Units = 32, layers: Units = 1, context: Context = 16) -> Flow:
    """Affine couplings of torchflows, those of the halves.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at torchflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    return _autoregressive("torchflows:realnvp", "AffineCoupling", dim, depth, hidden, layers, context)


@register_posterior(
    "torchflows:nsf",
    label="NSF",
    cite="torchflows; Durkan et al. 2019",
    year=2023,
    kind="coupling",
    autoregressive=True,
    library=TORCHFLOWS,
)
def nsf(dim: int, depth: int = 4, hidden: Units = 32, layers: Units = 1, context: Context = 16) -> Flow:
    """Neural spline flow of torchflows by couplings of the halves, with its own box and number of bins.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at torchflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    return _autoregressive("torchflows:nsf", "RQSCoupling", dim, depth, hidden, layers, context)


@register_posterior(
    "torchflows:iaf",
    label="IAF",
    cite="torchflows; Kingma et al. 2016",
    year=2023,
    kind="autoregressive",
    autoregressive=True,
    library=TORCHFLOWS,
)
def iaf(dim: int, depth: int = 4, hidden: Units = 32, layers: Units = 1, context: Context = 16) -> Flow:
    """Inverse autoregressive flow of torchflows.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at torchflows' start.

    Raises:
        InputError: `dim` is 1.
    """
    kind = "AffineInverseMaskedAutoregressive"
    return _autoregressive("torchflows:iaf", kind, dim, depth, hidden, layers, context)
