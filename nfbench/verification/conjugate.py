"""A conjugate model, which families that follow the target's gradient are given: p(x) is known."""

import math

from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.posteriors.contract import Posterior


def call(q: Posterior, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Draw, with the conjugate model's log_joint for a family with auxiliary variables, which may follow its gradient.

    Args:
        q: a posterior without features.
        noise: (S, B, N).

    Returns:
        z (S, B, D) and ln q (S, B).
    """
    z, log_q = q(noise) if q.has_density else q(noise, None, conjugate_log_joint)
    return z, log_q


def conjugate_log_joint(z: Tensor) -> Tensor:
    """Compute ln p(x, z) of the conjugate model z ~ N(0, I), x | z ~ N(z, (1/2)^2 I) at x = (1, ..., 1).

    Args:
        z: (..., D).

    Returns:
        (...), in nats.
    """
    dim = z.shape[-1]
    log_likelihood = standard_normal_log_prob(2 * (1 - z)) + dim * math.log(2)
    return standard_normal_log_prob(z) + log_likelihood


def conjugate_log_evidence(dim: int) -> float:
    """Compute ln p(x) of the conjugate model: x ~ N(0, (5/4) I) at x = (1, ..., 1).

    >>> round(conjugate_log_evidence(1), 9)
    -1.430510309

    Args:
        dim: D.

    Returns:
        In nats.
    """
    return -0.5 * dim * (math.log(2 * math.pi * 1.25) + 1 / 1.25)
