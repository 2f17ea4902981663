"""Objectives: what is minimised, from the two log-densities of a draw."""

from torch import Tensor, nn

from nfbench.foundation.numerics import log_mean_exp
from nfbench.foundation.randomness import seeded
from nfbench.posteriors.build import posterior as build_posterior
from nfbench.posteriors.contract import Posterior
from nfbench.specification.choices import Anneal, Head
from nfbench.targets.build import target as build_target
from nfbench.targets.contract import LatentVariableModel, Target


class Inference(nn.Module):
    """A target and the posterior that approximates it: everything that is learned, in one module.

    Args:
        target: log-density ln p(z), or model ln p(x, z) with its encoder and decoder.
        posterior: q(z), or q(z|x) from the encoder's features.
    """

    def __init__(self, target: Target, posterior: Posterior) -> None:
        super().__init__()
        self.target = target
        self.posterior = posterior

    def features(self, batch: Tensor | None) -> Tensor | None:
        """Encode a minibatch.

        Args:
            batch: observations, shape (B, ...); None for a target without data.

        Returns:
            The encoder's features, shape (B, F); None for a target without data.
        """
        if batch is None or not isinstance(self.target, LatentVariableModel):
            return None
        return self.target.features(batch)

    def forward(
        self, noise: Tensor, batch: Tensor | None = None, *, path: bool = False, split: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Draw z_K and evaluate both log-densities of the free energy (Rezende & Mohamed 2015, eq. 15).

        The prior is part of ln p(x, z_K), at z_K; no Kullback-Leibler term is taken analytically.

        Args:
            noise: standard normal, shape (S, B, N).
            batch: observations, shape (B, ...); None for a target without data.
            path: whether ln q has the gradient by way of z alone; its value is the same.
            split: whether the prior is taken from ln p and from ln q, for an annealing of the divergence alone; the
                target has data.

        Returns:
            ln q(z_K|x) and ln p(x, z_K) in nats, each of shape (S, B); split: ln q(z_K|x) - ln p(z_K) and
            ln p(x|z_K).
        """

        def log_joint(z: Tensor) -> Tensor:
            return self.target.log_joint(z, batch)

        features = self.features(batch)
        z, log_q = self.posterior(noise, features, log_joint)
        if path:
            log_q = log_q - _without_value(self.posterior.log_prob(z.detach(), features))
        log_p = log_joint(z)
        if split and isinstance(self.target, LatentVariableModel):
            log_prior = self.target.log_prior(z)
            return log_q - log_prior, log_p - log_prior
        return log_q, log_p


def initial_model(posterior: str, target: str | Target, seed: int, head: Head = "scaled") -> Inference:
    """A target and a posterior with the initial parameters that a seed gives.

    Args:
        posterior: a spec.
        target: a spec, or a target as it is.
        seed: of the decoder's parameters, where the target is built here, and of the posterior's.
        head: how features give the numbers of a flow's maps (`nfbench.posterior`).

    Returns:
        Both in one module, on the CPU in torch's default dtype.

    Raises:
        InputError: unknown name or option, a dimension that the family cannot have, or a head without features.
    """
    if isinstance(target, str):
        with seeded(seed, "target"):
            target = build_target(target)
    features = target.num_features if isinstance(target, LatentVariableModel) else None
    return Inference(target, build_posterior(posterior, target.dim, features, seed=seed, head=head))


def weighted_bound(
    log_q: Tensor,
    log_p: Tensor,
    beta: float | Tensor = 1.0,
    draws: int | None = None,
    *,
    anneal: Anneal = "joint",
) -> Tensor:
    """The importance-weighted bound, -ln of the mean of K weights (Burda et al. 2016, eq. 8), annealed like F.

    It is an upper bound of -ln p(x), at most F in expectation, and falls with K.

    Args:
        log_q: ln q(z|x) in nats, (S, B).
        log_p: ln p(x, z) in nats, (S, B).
        beta: inverse temperature from 0 to 1.
        draws: K, which divides S; None: S.
        anneal: as of `free_energy`.

    Returns:
        Nats, (S / K, B).

    >>> import torch
    >>> weighted_bound(torch.zeros(2, 1), torch.log(torch.tensor([[1.0], [3.0]]))).exp()  # 1 / 2
    tensor([[0.5000]])
    """
    log_weight = -free_energy(log_q, log_p, beta, anneal=anneal)
    groups = log_weight.reshape(-1, draws or len(log_weight), *log_weight.shape[1:])
    return -log_mean_exp(groups, 1)


def _without_value(tensor: Tensor) -> Tensor:
    """Zeros that have a tensor's gradient.

    The gradient of ln q(z) at fixed z has mean 0 over draws of q. Taken away from the whole one it leaves the path
    derivative, which is 0 for every draw where q is exact (Roeder et al. 2017, Sticking the landing, eq. 6).
    """
    return tensor - tensor.detach()


def free_energy(log_q: Tensor, log_p: Tensor, beta: float | Tensor = 1.0, *, anneal: Anneal = "joint") -> Tensor:
    """The annealed free energy of each draw, ln q - beta ln p(x, z) (Rezende & Mohamed 2015, eq. 20).

    Many others anneal the divergence from the prior instead, beta (ln q - ln p(z)) - ln p(x|z) (Bowman et al. 2016,
    Sønderby et al. 2016).

    Args:
        log_q: ln q(z|x) in nats, any shape.
        log_p: ln p(x, z) in nats, the same shape.
        beta: inverse temperature from 0 to 1.
        anneal: ``kl`` for the second formula, with the split terms of `Inference.forward`.

    Returns:
        Nats, of the shape of `log_q`. Its mean over draws estimates F^beta; at beta = 1 the bound F >= -ln p(x).

    >>> import torch
    >>> free_energy(torch.tensor([1.0]), torch.tensor([-3.0]), beta=0.5)
    tensor([2.5000])
    """
    return beta * log_q - log_p if anneal == "kl" else log_q - beta * log_p
