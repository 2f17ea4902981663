"""Whether ln q of a fitted posterior is the density of its draws: without that its free energy is no bound."""

import copy
import math

import torch

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.foundation.randomness import stream
from nfbench.foundation.settings import using_backend
from nfbench.posteriors.contract import Posterior
from nfbench.verification.maps import draws_of, is_auxiliary, local
from nfbench.verification.subject import integration_error

_DRAWS = 32
_MOST = 200  # D up to which the Jacobian is computed: D backward passes


def density_error(q: Posterior, seed: int) -> float:
    """By how much ln q is away from the density of the draws, by autograd's determinant in float64.

    It sees a wrong ln|det| or constant at the numbers that the posterior has now, by the plain chains. It does not see
    two points with one image; ``nfbench verify`` searches for those.

    Args:
        q: without features and data points; it is left as it is.
        seed: of the draws.

    Returns:
        The largest difference in nats beyond what rounding and a declared integration error explain; 0 where there is
        no square Jacobian (auxiliary variables, N other than D) or D is above 200.
    """
    if is_auxiliary(q) or q.noise_dim != q.dim or q.dim > _MOST:
        return 0.0
    q = copy.deepcopy(q).double().cpu().eval()
    noise = torch.randn(_DRAWS, 1, q.noise_dim, dtype=torch.float64, generator=stream(seed, "density of draws"))
    with using_backend("reference"):  # no kernels are compiled for one look
        at = local(draws_of(q), noise)
        claimed = q(noise)[1][:, 0].detach()
    expected = standard_normal_log_prob(noise)[:, 0] - at.log_det
    away = (claimed - expected).abs() - at.rounding - integration_error(q)
    return max(0.0, float(torch.where(at.regular, away.nan_to_num(nan=math.inf), 0.0).max()))
