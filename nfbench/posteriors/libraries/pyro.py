"""Pyro (Bingham et al. 2019): autoregressive transforms from noise to draws, conditional where Pyro has that form.

Between maps the coordinates are reversed. Pyro inverts only what it has just computed of a block autoregressive map: it
has no density at other points. `nfbench.posteriors.libraries.pyro_residual` has the transforms without networks.
"""

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.libraries import Library
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.families.iaf import Mode
from nfbench.posteriors.library_flow import LibraryChain
from nfbench.specification.registry import register_posterior

PYRO = Library("pyro", "pyro-ppl")


def called(transform: Any, before: Tensor) -> tuple[Tensor, Tensor]:
    """Call a transform, which keeps nothing of the call: a module with a graph can neither be copied nor stored.

    Args:
        transform: of Pyro, which keeps the last point, its image and their ln|det|.
        before: (S, B, D).

    Returns:
        The image (S, B, D), and ln|det| as the transform has it.
    """
    after = transform(before)
    log_det = transform.log_abs_det_jacobian(before, after)
    for name in [name for name in vars(transform) if name.startswith("_cached_")]:
        setattr(transform, name, (None, None) if name == "_cached_x_y" else None)
    return after, log_det


class PyroFlow(LibraryChain):
    """A chain of Pyro's transforms.

    Attributes:
        reverses: whether the coordinates are reversed between two of them.
    """

    reverses = True

    def step(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        transform, before = self._transform(number, context), z.flip(-1) if number and self.reverses else z
        return called(transform, before)

    def step_back(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        transform = self._transform(number, context)
        before = transform.inv(z)
        log_det = -transform.log_abs_det_jacobian(before, z)
        return before.flip(-1) if number and self.reverses else before, log_det

    def _transform(self, number: int, context: Tensor | None) -> Any:
        return self.maps[number] if context is None else self.maps[number].condition(context)


@register_posterior(
    "pyro:iaf",
    label="IAF ({mode})",
    cite="Bingham et al. 2019; Kingma et al. 2016",
    year=2019,
    kind="autoregressive",
    autoregressive=True,
    library=PYRO,
)
def iaf(
    dim: int,
    depth: int = 4,
    mode: Mode = "gated",
    hidden: Units = 32,
    layers: Units = 1,
    context: Context = 16,
) -> Flow:
    """Inverse autoregressive flow of Pyro.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        mode: gated, g z + (1 - g) m, which Pyro calls stable, or affine, z exp(s) + m.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at Pyro's start.

    Raises:
        InputError: `dim` is 1, or `hidden` is below `dim`.
    """
    forms = PYRO.load("distributions.transforms")
    flow = PyroFlow(PYRO, "pyro:iaf", dim, depth, context, (), least=2)
    conditional = forms.ConditionalAffineAutoregressive, forms.AffineAutoregressive
    for _ in range(depth):
        flow.maps.append(_autoregressive(conditional, dim, context, layers * [hidden], stable=mode == "gated"))
    return flow


@register_posterior(
    "pyro:bnaf",
    label="BNAF ({residual})",
    cite="Bingham et al. 2019; De Cao et al. 2019",
    year=2019,
    kind="autoregressive",
    autoregressive=True,
    library=PYRO,
)
def bnaf(
    dim: int,
    depth: int = 4,
    residual: Literal["gated", "normal", "none"] = "gated",
    units: Units = 8,
    layers: Units = 1,
) -> Flow:
    """Block neural autoregressive flow of Pyro, the same for all data points.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        residual: gated, normal, or none, with which draws reach a bounded region only; Pyro's default is none.
        units: hidden tanh units of each coordinate in each hidden layer.
        layers: hidden layers of each network.

    Returns:
        The chain at Pyro's start; it has no inverse.

    Raises:
        InputError: `dim` is 1.
    """
    forms = PYRO.load("distributions.transforms")
    flow = PyroFlow(PYRO, "pyro:bnaf", dim, depth, 0, (), least=2, invertible=False)
    kind = None if residual == "none" else residual
    flow.maps.extend(
        forms.BlockAutoregressive(dim, hidden_factors=layers * [units], residual=kind) for _ in range(depth)
    )
    return flow


@register_posterior(
    "pyro:nsf",
    label="NSF, autoregressive",
    cite="Bingham et al. 2019; Durkan et al. 2019",
    year=2019,
    kind="autoregressive",
    autoregressive=True,
    library=PYRO,
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
    """Neural spline flow of Pyro: autoregressive rational-quadratic splines.

    Args:
        dim: latent dimensions D, at least 2.
        depth: number of maps.
        bins: pieces of each spline.
        bound: half the width of the box, in units of z.
        hidden: units of each hidden layer of the networks.
        layers: hidden layers of each network.
        context: numbers for each data point that all networks see; 0: the maps are the same for all data points.

    Returns:
        The chain at Pyro's start.

    Raises:
        InputError: `dim` is 1, or `hidden` is below `dim`.
    """
    forms = PYRO.load("distributions.transforms")
    flow = PyroFlow(PYRO, "pyro:nsf", dim, depth, context, (), least=2)
    conditional = forms.ConditionalSplineAutoregressive, forms.SplineAutoregressive
    sizes, rest = [bins, bins, bins - 1], {"count_bins": bins, "bound": bound, "order": "quadratic"}
    for _ in range(depth):
        flow.maps.append(_autoregressive(conditional, dim, context, layers * [hidden], sizes, **rest))
    return flow


def _autoregressive(
    kinds: tuple[Any, Any], dim: int, context: int, hidden: list[int], sizes: list[int] | None = None, **options: Any
) -> Any:
    """A transform with an autoregressive network of its own, conditional where there is a context."""
    nets, (conditional, plain) = PYRO.load("nn"), kinds
    if dim > min(hidden):
        raise InputError(f"posterior of {PYRO}: hidden={min(hidden)}: expected at least dim={dim}")
    sizes = sizes or [1, 1]
    spline = len(sizes) > 2
    if context:
        net = nets.ConditionalAutoRegressiveNN(dim, context, hidden, param_dims=sizes)
    else:
        net = nets.AutoRegressiveNN(dim, hidden, param_dims=sizes)
    kind = conditional if context else plain
    return kind(dim, net, **options) if spline else kind(net, **options)
