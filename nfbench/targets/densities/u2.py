"""U2: a sine wave (Rezende & Mohamed 2015, Table 1)."""

from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target
from nfbench.targets.densities.strip import Strip, Walls, w1


@register_target("u2", label="U2 (walls: {walls})", cite="Rezende & Mohamed 2015, Table 1", year=2015)
def u2(walls: Walls = "gaussian") -> Target:
    """A sine wave: U2(z) = ((z2 - w1(z1)) / 0.4)^2 / 2.

    Args:
        walls: Gaussian walls outside |z1| <= 4, or none: then ln Z is infinite and draws are from [-4, 4]^2.

    Returns:
        The target.
    """
    return Strip(_means, (0.4,), walls)


def _means(z1: Tensor) -> tuple[Tensor, ...]:
    """Means of z2 of each branch at `z1 (...)`, (...) each."""
    return (w1(z1),)
