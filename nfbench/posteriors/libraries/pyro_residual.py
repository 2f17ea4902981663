"""Pyro's transforms without networks (Bingham et al. 2019): planar, radial, Householder and Sylvester.

Pyro inverts only what it has just computed of planar, radial and Sylvester maps: they have no density at other points.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from nfbench.posteriors.contract import Flow
from nfbench.posteriors.libraries.pyro import PYRO, PyroFlow
from nfbench.posteriors.library_flow import LibraryFlow
from nfbench.specification.registry import register_posterior


class NumbersFlow(LibraryFlow):
    """A chain of Pyro's transforms whose numbers are theta: P = K R.

    Args:
        name: of the family.
        dim: D.
        depth: K.
        made: one of Pyro's transforms from its numbers, (B, R) each.
        sizes: R of each of a map's numbers, in the order in which `made` takes them.
        starts: half the width of the uniform distribution from which each of them starts.
        invertible: whether Pyro inverts the transform at any point.
    """

    def __init__(
        self,
        name: str,
        dim: int,
        depth: int,
        made: Callable[[Sequence[Tensor]], Any],
        sizes: tuple[int, ...],
        starts: tuple[float, ...],
        *,
        invertible: bool = False,
    ) -> None:
        super().__init__(PYRO, name, dim, depth, depth * sum(sizes))
        PYRO.load("distributions.transforms")  # refused here where it is not installed
        self.made, self.sizes, self.starts, self.invertible = made, sizes, starts, invertible

    def initial(self) -> Tensor:
        """As Pyro's unconditional form starts: uniform.

        Returns:
            (P,).
        """
        width = torch.cat([torch.full((size,), start) for size, start in zip(self.sizes, self.starts, strict=True)])
        return ((2 * torch.rand(self.depth, len(width)) - 1) * width).flatten()

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for transform in self._transforms(context):
            before, z = z, transform(z)
            log_det = log_det + transform.log_abs_det_jacobian(before, z)
        return z, log_det

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if not self.invertible:
            return super().pull(z, context)
        log_det = z.new_zeros(z.shape[:-1])
        for transform in reversed(self._transforms(context)):
            after, z = z, transform.inv(z)
            log_det = log_det - transform.log_abs_det_jacobian(z, after)
        return z, log_det

    def _transforms(self, context: Tensor | None) -> list[Any]:
        assert context is not None
        return [self.made(torch.split(each, list(self.sizes), -1)) for each in context.chunk(self.depth, -1)]


def conditioned(kind: str, numbers: Tensor | Sequence[Tensor], *sizes: int) -> Any:
    """A transform whose numbers are those of data points.

    Args:
        kind: of Pyro's conditional transforms, such as ``ConditionalPlanar``.
        numbers: (B, R), or several of them in the order in which it takes them.
        sizes: what its constructor takes before the network.

    Returns:
        A transform of (S, B, D).
    """
    made = getattr(PYRO.load("distributions.transforms"), kind)
    return made(*sizes, lambda context: context).condition(numbers)


@register_posterior("pyro:planar", label="Planar", cite="Bingham et al. 2019", year=2019, kind="residual", library=PYRO)
def planar(dim: int, depth: int = 8) -> Flow:
    """Planar flow of Pyro, its numbers those of a data point.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain at Pyro's start; it has no inverse.
    """
    width = dim**-0.5
    made = partial(conditioned, "ConditionalPlanar")
    return NumbersFlow("pyro:planar", dim, depth, made, (1, dim, dim), (0.0, width, width))


@register_posterior("pyro:radial", label="Radial", cite="Bingham et al. 2019", year=2019, kind="residual", library=PYRO)
def radial(dim: int, depth: int = 8) -> Flow:
    """Radial flow of Pyro, its numbers those of a data point.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain at Pyro's start; it has no inverse.
    """
    width = dim**-0.5
    made = partial(conditioned, "ConditionalRadial")
    return NumbersFlow("pyro:radial", dim, depth, made, (dim, 1, 1), (width, width, width))


@register_posterior(
    "pyro:householder",
    label="Householder",
    cite="Bingham et al. 2019; Tomczak & Welling 2016",
    year=2019,
    kind="linear",
    volume_preserving=True,
    linear=True,
    library=PYRO,
)
def householder(dim: int, depth: int = 8) -> Flow:
    """Householder flow of Pyro, its numbers those of a data point.

    Args:
        dim: latent dimensions D.
        depth: number of reflections.

    Returns:
        The chain at Pyro's start.
    """
    made = partial(_reflection, dim)
    return NumbersFlow("pyro:householder", dim, depth, made, (dim,), (dim**-0.5,), invertible=True)


def _reflection(dim: int, numbers: Sequence[Tensor]) -> Any:
    """One reflection of Pyro at a vector (B, D), the only one of `numbers`."""
    return conditioned("ConditionalHouseholder", numbers[0], dim)


class SylvesterFlow(PyroFlow):
    """A chain of Pyro's Sylvester transforms, which mix the coordinates themselves."""

    reverses = False


@register_posterior(
    "pyro:sylvester",
    label="Sylvester",
    cite="Bingham et al. 2019; van den Berg et al. 2018",
    year=2019,
    kind="residual",
    library=PYRO,
)
def sylvester(dim: int, depth: int = 4, reflections: Annotated[int, Field(ge=1)] = 8) -> Flow:
    """Sylvester flow of Pyro, the same for all data points.

    Args:
        dim: latent dimensions D.
        depth: number of maps.
        reflections: factors of the orthogonal matrix of each map; Pyro warns of more than D, so that D are taken then.

    Returns:
        The chain at Pyro's start; it has no inverse.
    """
    forms = PYRO.load("distributions.transforms")
    maps = [forms.Sylvester(dim, min(dim, reflections)) for _ in range(depth)]
    return SylvesterFlow(PYRO, "pyro:sylvester", dim, depth, 0, maps, invertible=False)
