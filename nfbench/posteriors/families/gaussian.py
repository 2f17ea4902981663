"""The diagonal Gaussian: a chain of no maps."""

from nfbench.posteriors.contract import Flow, Identity
from nfbench.specification.registry import register_posterior


@register_posterior(
    "gaussian",
    label="Diagonal Gaussian",
    cite="Rezende & Mohamed 2015, Sec 6.2",
    year=2015,
    kind="gaussian",
    linear=True,
)
def gaussian(dim: int) -> Flow:
    """Diagonal Gaussian N(mu, diag(sigma^2)), the paper's K = 0.

    Args:
        dim: D.

    Returns:
        The chain of no maps, which leaves the base as it is.
    """
    return Identity(dim)
