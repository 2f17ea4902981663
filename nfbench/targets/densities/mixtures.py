"""Mixtures of equal Gaussians in the plane: eight modes on a circle, forty modes scattered in a square."""

import math

import torch
from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.constants import Constants
from nfbench.targets.contract import Target

_EIGHT_RADIUS, _EIGHT_SCALE = 4.0, 0.5
_FORTY_SCALE = math.log1p(math.e)  # softplus(1)
# torch.rand of the seed 0, on [-40, 40]^2, to four decimals: numbers of a generator are no definition.
_FORTY_MEANS = """
 -0.2995  21.4577 -32.9218 -29.4376 -15.4062  10.7263  -0.7925  31.7156  -3.5498  10.5845 -12.0885  -7.8626
-38.2139 -26.4913 -16.4889   1.4817  15.8134  24.0009 -27.1176 -17.4185  14.5287  33.2155  -8.2320  29.9325
 -6.4473   4.2326  36.2190 -37.1068 -25.1815 -10.1266 -15.5920  34.5600 -25.9272 -18.4133 -27.9456 -37.4624
-23.3496  34.3839  17.8487  19.3869   2.1037 -20.5073   6.7674 -37.3478 -28.9026 -20.6212  25.2375  23.4529
-17.7398  -1.4433  25.5824  39.7653  15.8753   5.4037  26.8195 -23.5521   7.4538 -31.0122 -27.7234 -20.6633
 18.0989  16.0864 -23.6941  12.0843  21.9589  -5.0487   1.5273   9.2682  24.8151  38.4078 -30.8249 -14.6588
 15.7204  33.1420  34.8083  35.2943   7.9606 -34.7833   3.6797 -25.0242
"""


class GaussianMixture(Target):
    """The mean of C densities N(z; m_c, s^2 I); normalised, so that ln Z = 0.

    Args:
        means: m_1, ..., m_C, (C, D).
        scale: s.
    """

    log_z = 0.0

    def __init__(self, means: Tensor, scale: float) -> None:
        super().__init__()
        self.dim = means.shape[1]
        self.scale = scale
        self._constants = Constants(means=means)

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        means = self._constants.like(z)["means"]
        squares = ((self.checked(z).unsqueeze(-2) - means) / self.scale).square().sum(-1)
        constant = self.dim * math.log(self.scale * math.sqrt(2 * math.pi)) + math.log(len(means))
        value: Tensor = torch.logsumexp(-0.5 * squares, -1) - constant
        return value

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num, self.dim, generator=generator, device=generator.device)
        means = self._constants.like(noise)["means"]
        component = torch.randint(len(means), (num,), generator=generator, device=generator.device)
        return means[component] + self.scale * noise


@register_target("eight-modes", label="Eight modes", cite="nfbench: eight Gaussians on a circle")
def eight_modes() -> Target:
    """Eight Gaussians of standard deviation 0.5 on a circle of radius 4: neighbours are six of them apart.

    Returns:
        The target.
    """
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    return GaussianMixture(_EIGHT_RADIUS * torch.stack([angle.cos(), angle.sin()], -1), _EIGHT_SCALE)


@register_target("forty-modes", label="Forty modes", cite="Midgley et al. 2023, Section 4.1", year=2023)
def forty_modes() -> Target:
    """Forty Gaussians of standard deviation softplus(1) = 1.313 with means that were uniform draws from [-40, 40]^2.

    Returns:
        The target.
    """
    numbers = torch.tensor([float(text) for text in _FORTY_MEANS.split()], dtype=torch.float64)
    return GaussianMixture(numbers.reshape(40, 2), _FORTY_SCALE)
