"""U1: two crescents on a ring (Rezende & Mohamed 2015, Table 1), the one energy there that is normalisable."""

import functools
import math

import torch
from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target
from nfbench.targets.densities.rejection import fill

_RADIUS, _THICKNESS = 2.0, 0.4
_CENTRE, _WIDTH = 2.0, 0.6


class Ring(Target):
    """The energy U1(z) = ((|z| - 2) / 0.4)^2 / 2 - ln(exp(-((z1 - 2) / 0.6)^2 / 2) + exp(-((z1 + 2) / 0.6)^2 / 2)).

    ln Z has no closed form: the constant comes from Gauss-Legendre quadrature in polar coordinates, which tests repeat.
    """

    dim = 2
    log_z = 1.8775016261097

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        z1 = self.checked(z)[..., 0]
        ring: Tensor = -0.5 * ((torch.linalg.vector_norm(z, dim=-1) - _RADIUS) / _THICKNESS).square()
        return ring + torch.logaddexp(_crescent(z1, _CENTRE), _crescent(z1, -_CENTRE))

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """Draw exactly, by rejection in polar coordinates.

        Args:
            num: how many draws.
            generator: of random numbers; draws are on its device.

        Returns:
            (num, 2), in torch's default dtype.
        """
        z = fill(functools.partial(_right_crescent, generator), num)
        mirror = torch.rand(num, generator=generator, device=generator.device) < 0.5
        return torch.stack([torch.where(mirror, -z[:, 0], z[:, 0]), z[:, 1]], -1)


@register_target("u1", label="U1", cite="Rezende & Mohamed 2015, Table 1", year=2015)
def u1() -> Target:
    """Two crescents that face each other on a ring of radius 2.

    Returns:
        The target.
    """
    return Ring()


def _crescent(z1: Tensor, centre: float) -> Tensor:
    """-((z1 - centre) / 0.6)^2 / 2, (...) -> (...)."""
    return -0.5 * ((z1 - centre) / _WIDTH).square()


def _right_crescent(generator: torch.Generator, num: int) -> Tensor:
    """Propose `num` points for the half of the density around z1 = +2, and return those accepted, (at most num, 2).

    The radius has the density r exp(-((r - 2) / 0.4)^2 / 2), up to a constant. As ln r <= ln 2 + (r - 2) / 2, it lies
    under a Gaussian of the same width with mean 2 + 0.4^2 / 2, at the ratio (r / 2) exp(-(r - 2) / 2); the crescent's
    factor is at most 1. The half around z1 = -2 is the mirror image.
    """
    device = generator.device
    normal = torch.randn(num, generator=generator, device=device)
    angle, coin = torch.rand(2, num, generator=generator, device=device)
    radius = _RADIUS + _THICKNESS**2 / _RADIUS + _THICKNESS * normal
    z1, z2 = radius * torch.cos(2 * math.pi * angle), radius * torch.sin(2 * math.pi * angle)
    ratio = radius / _RADIUS * torch.exp(1 - radius / _RADIUS)
    accept = coin < ratio * _crescent(z1, _CENTRE).exp()
    return torch.stack([z1, z2], -1)[accept]
