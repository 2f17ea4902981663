"""Maps of noise to draws as functions with Jacobians, and flows cut out of their posteriors."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.posteriors.contract import Flow, Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior

EPS = torch.finfo(torch.float64).eps
SINGULAR = 1e-12  # of the ratio of singular values below which float64 does not know the sign of a determinant


class Base(NamedTuple):
    """The base of a flow's free posterior and the numbers of its maps.

    Attributes:
        flow: the chain of maps.
        mean: (1, D).
        log_sigma: (1, D).
        theta: (1, P).
    """

    flow: Flow
    mean: Tensor
    log_sigma: Tensor
    theta: Tensor

    def points(self, noise: Tensor) -> Tensor:
        """The points of the base that belong to noise.

        Args:
            noise: (S, B, D).

        Returns:
            z_0 (S, B, D).
        """
        return self.mean + self.log_sigma.exp() * noise


def base_of(q: Posterior) -> Base | None:
    """Cut a flow out of its free posterior.

    Args:
        q: any posterior.

    Returns:
        The flow with its numbers, or None where the posterior is not a flow's.
    """
    if not isinstance(q, FlowPosterior):
        return None
    return Base(q.flow, *q.numbers())


def is_auxiliary(q: Posterior) -> bool:
    """Whether ln q is that of auxiliary variables too; a flow without an inverse has no density at points either.

    Args:
        q: any posterior.

    Returns:
        True where ln q is no density of the draws.
    """
    return not q.has_density and not isinstance(q, FlowPosterior)


def jacobians(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """The Jacobian of a map at each point, by autograd; points must not mix.

    Args:
        function: (S, 1, N) -> (S, 1, D).
        points: (S, 1, N).

    Returns:
        (S, D, N), detached.
    """
    with torch.enable_grad():
        points = points.detach().clone().requires_grad_()
        image = function(points)
        if not image.requires_grad:
            return image.new_zeros(len(points), image.shape[-1], points.shape[-1])
        rows = [
            torch.autograd.grad(
                image[..., i].sum(), points, retain_graph=True, allow_unused=True, materialize_grads=True
            )[0]
            for i in range(image.shape[-1])
        ]
    return torch.stack([row[:, 0] for row in rows], 1)


class Local(NamedTuple):
    """How a map behaves around points.

    Attributes:
        log_det: ln|det| of the Jacobian (S,).
        sign: of the determinant (S,).
        smallest: singular value (S,).
        largest: singular value (S,).
    """

    log_det: Tensor
    sign: Tensor
    smallest: Tensor
    largest: Tensor

    @property
    def regular(self) -> Tensor:
        """Where float64 knows sign and ln|det|, (S,)."""
        return (self.smallest > SINGULAR * self.largest) & self.largest.isfinite()

    @property
    def rounding(self) -> Tensor:
        """The error of ln|det| by rounding, (S,)."""
        return 100 * EPS * self.largest / self.smallest.clamp_min(1e-300)


def local(function: Callable[[Tensor], Tensor], points: Tensor) -> Local:
    """Determinant and singular values of a map's Jacobian at each point.

    Args:
        function: (S, 1, D) -> (S, 1, D).
        points: (S, 1, D).

    Returns:
        The facts, each (S,).
    """
    matrices = jacobians(function, points)
    finite = matrices.isfinite().all(-1).all(-1)
    matrices = torch.where(finite[:, None, None], matrices, torch.zeros_like(matrices))
    sign, log_det = torch.linalg.slogdet(matrices)
    values = torch.linalg.svdvals(matrices)
    return Local(log_det, sign, values[:, -1], torch.where(finite, values[:, 0], torch.inf))


def draws_of(q: Posterior) -> Callable[[Tensor], Tensor]:
    """The map from noise to draws.

    Args:
        q: a posterior without features.

    Returns:
        A function of noise (S, B, N) that returns z (S, B, D).
    """

    def draws(noise: Tensor) -> Tensor:
        z: Tensor = q(noise)[0]
        return z

    return draws


def chain_of(base: Base) -> Callable[[Tensor], Tensor]:
    """The map from points of the base to draws.

    Args:
        base: flow and numbers.

    Returns:
        A function of z_0 (S, B, D) that returns z_K (S, B, D).
    """

    def chain(z_0: Tensor) -> Tensor:
        z: Tensor = base.flow(z_0, base.theta)[0]
        return z

    return chain


def number(value: Tensor) -> float:
    """The number in a tensor of one element.

    Args:
        value: with or without a graph.

    Returns:
        The number.
    """
    return float(value.detach())
