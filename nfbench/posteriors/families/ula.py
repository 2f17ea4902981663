"""Unadjusted Langevin annealing (Thin et al. 2021; Wu, Köhler & Noé 2020): Langevin steps whose reverse is one too.

`nfbench.posteriors.langevin` has the formulas; here n_m = 0.
"""

from typing import Annotated

from pydantic import Field

from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.langevin import Langevin
from nfbench.specification.registry import register_posterior


@register_posterior(
    "ula",
    label="ULA ({steps} steps)",
    cite="Thin et al. 2021; Wu, Köhler & Noé 2020",
    year=2021,
    kind="auxiliary",
)
def ula(dim: int, features: int | None = None, points: int = 1, steps: Annotated[int, Field(ge=1)] = 4) -> Posterior:
    """Unadjusted Langevin annealing: noisy gradient steps from the base to the target, reversed by such steps.

    Args:
        dim: latent dimensions D.
        features: F, width of the encoder's features; None for free numbers.
        points: rows of free numbers.
        steps: Langevin steps, one a bridge; a draw takes one gradient of the target more.

    Returns:
        The posterior, which takes (1 + steps) D numbers of noise.
    """
    return Langevin(dim, steps, features=features, points=points)
