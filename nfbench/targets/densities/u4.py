"""U4: a sine wave that forks (Rezende & Mohamed 2015, Table 1)."""

import torch
from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target
from nfbench.targets.densities.strip import Strip, Walls, w1


@register_target("u4", label="U4 (walls: {walls})", cite="Rezende & Mohamed 2015, Table 1", year=2015)
def u4(walls: Walls = "gaussian") -> Target:
    """A sine wave that forks at z1 = 1: branches at w1 of scale 0.4 and w1 - w3 of scale 0.35, as printed.

    Args:
        walls: Gaussian walls outside |z1| <= 4, or none: then ln Z is infinite and draws are from [-4, 4]^2.

    Returns:
        The target.
    """
    return Strip(_means, (0.4, 0.35), walls)


def w3(z1: Tensor) -> Tensor:
    """The distance of the branches, w3 = 3 sigmoid((z1 - 1) / 0.3) (paper, Table 1).

    Args:
        z1: (...).

    Returns:
        (...).
    """
    return 3 * torch.sigmoid((z1 - 1) / 0.3)


def _means(z1: Tensor) -> tuple[Tensor, ...]:
    """Means of z2 of each branch at `z1 (...)`, (...) each."""
    wave = w1(z1)
    return wave, wave - w3(z1)
