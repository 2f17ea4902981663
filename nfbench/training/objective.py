"""Objectives: what is minimised, from the two log-densities of a draw."""

from torch import Tensor, nn

from nfbench.posteriors.contract import Posterior
from nfbench.targets.contract import LatentVariableModel, Target


class Inference(nn.Module):
    """A target and the posterior that approximates it: everything that is learned, in one module."""

    def __init__(self, target: Target, posterior: Posterior) -> None:
        super().__init__()
        self.target = target
        self.posterior = posterior

    def features(self, batch: Tensor | None) -> Tensor | None:
        """`batch (B, ...) -> (B, F)`; None for a target without data."""
        if batch is None or not isinstance(self.target, LatentVariableModel):
            return None
        return self.target.features(batch)

    def forward(self, noise: Tensor, batch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`noise (S, B, N), batch (B, ...) | None -> ln q(z_K|x), ln p(x, z_K), each (S, B)`.

        The prior is part of ln p(x, z_K), at z_K (paper, eq. 15); no Kullback-Leibler term is taken analytically.
        """

        def log_joint(z: Tensor) -> Tensor:
            return self.target.log_joint(z, batch)

        z, log_q = self.posterior(noise, self.features(batch), log_joint)
        return log_q, log_joint(z)


def free_energy(log_q: Tensor, log_p: Tensor, beta: float | Tensor = 1.0) -> Tensor:
    """Ln q - beta ln p(x, z), draw by draw, in nats; its mean is F^beta (paper, eq. 20), at beta = 1 the bound F."""
    return log_q - beta * log_p
