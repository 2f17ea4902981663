"""Monte Carlo diffusion (Doucet, Grathwohl, Matthews & Strathmann 2022): Langevin annealing with a learned reverse.

`nfbench.posteriors.langevin` has the formulas. The best reverse of a short Langevin step has the mean z_m - delta g_m +
2 delta s, where s is the gradient of ln of the density of z_m: n_m is to become 2 (s - g_m). It is an affine map of z
and of the target's gradient plus a tanh network (`auxiliary.Responses`), one for each step.

Start: n_m = 0, which is unadjusted Langevin annealing.
"""

from typing import Annotated

from pydantic import Field

from nfbench.posteriors.auxiliary import Responses
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.langevin import Langevin
from nfbench.specification.registry import register_posterior


@register_posterior("mcd", label="MCD ({steps} steps)", cite="Doucet et al. 2022", year=2022, kind="auxiliary")
def mcd(
    dim: int,
    features: int | None = None,
    points: int = 1,
    steps: Annotated[int, Field(ge=1)] = 4,
    hidden: Units = 32,
    context: Context = 16,
) -> Posterior:
    """Monte Carlo diffusion: noisy gradient steps from the base to the target, with a learned reverse of each.

    Args:
        dim: latent dimensions D.
        features: F, width of the encoder's features; None for free numbers.
        points: rows of free numbers.
        steps: Langevin steps, one a bridge; a draw takes one gradient of the target more.
        hidden: units of the networks of the reverse.
        context: numbers for each data point that these networks see; 0: they see z and the gradient only.

    Returns:
        The posterior, which takes (1 + steps) D numbers of noise.
    """
    return Langevin(dim, steps, Responses(steps, dim, dim, hidden, context), context, features, points=points)
