"""The banana: a Gaussian with its second coordinate bent into a parabola (Haario, Saksman & Tamminen 1999)."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Banana(Target):
    """z1 ~ N(0, s^2) and z2 | z1 ~ N(b (s^2 - z1^2), 1), so that E z2 = 0 and ln Z = 0.

    Bending has the Jacobian determinant 1. The entropy is ln(2 pi e) + ln s.

    Args:
        curvature: b.
        scale: s, the standard deviation of z1.
    """

    dim = 2
    log_z = 0.0

    def __init__(self, curvature: float, scale: float) -> None:
        super().__init__()
        self.curvature = curvature
        self.scale = scale

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        z1, z2 = self.checked(z).unbind(-1)
        across = z2 - self._middle(z1)
        squares = (z1 / self.scale).square() + across.square()
        value: Tensor = -0.5 * squares - math.log(2 * math.pi * self.scale)
        return value

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num, 2, generator=generator, device=generator.device)
        z1 = self.scale * noise[:, 0]
        return torch.stack([z1, self._middle(z1) + noise[:, 1]], -1)

    def _middle(self, z1: Tensor) -> Tensor:
        """The mean of z2 given `z1 (...)`, (...)."""
        return self.curvature * (self.scale**2 - z1.square())


@register_target("banana", label="Banana (b={curvature})", cite="Haario, Saksman & Tamminen 1999, Section 4", year=1999)
def banana(curvature: _Positive = 0.1, scale: _Positive = 10.0) -> Target:
    """A banana in the plane: N(z1; 0, scale^2) N(z2; curvature (scale^2 - z1^2), 1).

    Args:
        curvature: b, how strongly it is bent: 0.03 is moderate, 0.1 strong.
        scale: standard deviation of z1.

    Returns:
        The target.
    """
    return Banana(curvature, scale)
