"""The uniform distribution on a square: a base in the paper's Figure 1."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target


class Square(Target):
    """log_joint = 0 on [-a, a]^2 and -inf outside, so that ln Z = 2 ln(2 a), the ln of the area.

    Args:
        half_width: a.
    """

    dim = 2

    def __init__(self, half_width: float) -> None:
        super().__init__()
        self.half_width = half_width
        self.log_z = 2 * math.log(2 * half_width)

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        inside = (self.checked(z).abs() <= self.half_width).all(-1)
        return (0 * z).sum(-1).masked_fill(~inside, -math.inf)  # 0 * z: the gradient is zero, not missing

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        return self.half_width * (2 * torch.rand(num, 2, generator=generator, device=generator.device) - 1)


@register_target("uniform", label="Uniform", cite="Rezende & Mohamed 2015, Figure 1", year=2015)
def uniform(half_width: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0) -> Target:
    """The uniform distribution on the square [-half_width, half_width]^2.

    Args:
        half_width: half the length of an edge.

    Returns:
        The target.
    """
    return Square(half_width)
