"""What U2, U3 and U4 share: a Gaussian mixture in z2 whose means follow z1 (Rezende & Mohamed 2015, Table 1).

As the paper has them they do not depend on z1 otherwise and are improper; walls outside |z1| <= 4 make them proper.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nfbench.targets.contract import Box, Target
from nfbench.targets.densities.rejection import fill

Walls = Literal["gaussian", "none"]

_HALF_WIDTH = 4.0  # half the width of the paper's plots, where walls begin
_WALL_SCALE = 0.25  # standard deviation of the Gaussian walls
_WALL_MASS = _WALL_SCALE * math.sqrt(2 * math.pi)
_QUADRATURE_NODES = 400


class Strip(Target):
    """The energy U(z) = -ln sum_c exp(-((z2 - m_c(z1)) / s_c)^2 / 2) + wall(z1).

    With Gaussian walls, which are not in the paper, wall = ((|z1| - 4) / 0.25)^2 / 2 for |z1| > 4 and else 0: there the
    energy is the paper's, and ln Z = ln(sum_c s_c sqrt(2 pi)) + ln(8 + 0.25 sqrt(2 pi)) is exact. Without walls Z is
    infinite: `log_z` is None, and `box` and `sample` are those of the truncation to [-4, 4]^2.

    Args:
        means: a function of z1 (...) that returns m_1(z1), ..., m_C(z1), (...) each.
        scales: s_1, ..., s_C.
        walls: whether there are walls.
    """

    dim = 2

    def __init__(self, means: Callable[[Tensor], tuple[Tensor, ...]], scales: tuple[float, ...], walls: Walls) -> None:
        super().__init__()
        self.means = means
        self.scales = scales
        self.walls = walls
        if walls == "none":
            self.box = Box(_HALF_WIDTH, _log_box_integral(means, scales))
        else:
            across = sum(scales) * math.sqrt(2 * math.pi)
            self.log_z = math.log(across) + math.log(2 * _HALF_WIDTH + _WALL_MASS)

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        z1, z2 = self.checked(z).unbind(-1)
        terms = [-0.5 * ((z2 - m) / s).square() for m, s in zip(self.means(z1), self.scales, strict=True)]
        log_p = functools.reduce(torch.logaddexp, terms)
        if self.walls == "none":
            return log_p
        return log_p - 0.5 * ((z1.abs() - _HALF_WIDTH).relu() / _WALL_SCALE).square()

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """Draw exactly; without walls, from the target truncated to its box.

        Args:
            num: how many draws.
            generator: of random numbers; draws are on its device.

        Returns:
            (num, 2), in torch's default dtype.
        """
        if self.box is None:
            return self._across(_walled(num, generator), generator)
        return fill(functools.partial(self._inside, self.box, generator), num)

    def _inside(self, box: Box, generator: torch.Generator, num: int) -> Tensor:
        """Draw `num` pairs with uniform z1, and return those in the box: truncation changes the marginal of z1, too."""
        z = self._across(_uniform(num, generator), generator)
        return z[box.contains(z)]

    def _across(self, z1: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z2 given `z1 (num,)` exactly (component c has weight s_c), and return both, (num, 2)."""
        weights = torch.tensor(self.scales, device=z1.device)
        component = torch.multinomial(weights, len(z1), replacement=True, generator=generator) if len(z1) else z1.long()
        mean = torch.stack(self.means(z1), -1).gather(-1, component.unsqueeze(-1)).squeeze(-1)
        noise = torch.randn(len(z1), generator=generator, device=z1.device)
        return torch.stack([z1, mean + weights[component] * noise], -1)


def w1(z1: Tensor) -> Tensor:
    """The wave w1 = sin(2 pi z1 / 4) that U2, U3 and U4 follow (paper, Table 1).

    Args:
        z1: (...).

    Returns:
        (...).
    """
    return torch.sin(0.5 * math.pi * z1)


def _uniform(num: int, generator: torch.Generator) -> Tensor:
    """Draws (num,) of z1, uniform between the walls."""
    return _HALF_WIDTH * (2 * torch.rand(num, generator=generator, device=generator.device) - 1)


def _walled(num: int, generator: torch.Generator) -> Tensor:
    """Draws (num,) of z1 of the walled strip: uniform between the walls, or half a Gaussian beyond one of them."""
    between = _uniform(num, generator)
    noise = torch.randn(num, generator=generator, device=generator.device)
    beyond = torch.rand(num, generator=generator, device=generator.device) < _WALL_MASS / (2 * _HALF_WIDTH + _WALL_MASS)
    return torch.where(beyond, torch.where(noise < 0, -_HALF_WIDTH, _HALF_WIDTH) + _WALL_SCALE * noise, between)


def _log_box_integral(means: Callable[[Tensor], tuple[Tensor, ...]], scales: tuple[float, ...]) -> float:
    """Integral of exp(-U) over the box, in nats: normal distribution functions in z2, Gauss-Legendre nodes in z1."""
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(_QUADRATURE_NODES))
    across = torch.zeros_like(nodes)
    for mean, scale in zip(means(_HALF_WIDTH * nodes), scales, strict=True):
        inside = torch.special.ndtr((_HALF_WIDTH - mean) / scale) - torch.special.ndtr((-_HALF_WIDTH - mean) / scale)
        across += scale * math.sqrt(2 * math.pi) * inside
    return math.log(_HALF_WIDTH * float(weights @ across))
