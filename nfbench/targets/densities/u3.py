"""U3: a sine wave that splits in two and joins again (Rezende & Mohamed 2015, Table 1)."""

import torch
from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target
from nfbench.targets.densities.strip import Strip, Walls, w1


@register_target("u3", label="U3 (walls: {walls})", cite="Rezende & Mohamed 2015, Table 1", year=2015)
def u3(walls: Walls = "gaussian") -> Target:
    """A sine wave that parts around z1 = 1: branches at w1 and w1 - w2, both of scale 0.35.

    Args:
        walls: Gaussian walls outside |z1| <= 4, or none: then ln Z is infinite and draws are from [-4, 4]^2.

    Returns:
        The target.
    """
    return Strip(_means, (0.35, 0.35), walls)


def w2(z1: Tensor) -> Tensor:
    """The distance of the branches, w2 = 3 exp(-((z1 - 1) / 0.6)^2 / 2) (paper, Table 1).

    Args:
        z1: (...).

    Returns:
        (...).
    """
    return 3 * torch.exp(-0.5 * ((z1 - 1) / 0.6).square())


def _means(z1: Tensor) -> tuple[Tensor, ...]:
    """Means of z2 of each branch at `z1 (...)`, (...) each."""
    wave = w1(z1)
    return wave, wave - w2(z1)
