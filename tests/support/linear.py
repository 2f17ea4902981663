"""A linear Gaussian model, whose likelihood, posterior and divergences are exact."""

import math

import torch
from torch import Tensor, nn

from nfbench.posteriors.contract import Posterior
from nfbench.targets.contract import LatentVariableModel, Splits
from nfbench.training.objective import Inference

POINTS = 12


class LinearGaussian(LatentVariableModel):
    """x = W z + noise, z ~ N(0, I) in two dimensions, x in three."""

    def __init__(self, noise: float = 0.5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.dim, self.num_features, self.data, self.noise = 2, 3, "linear@0", noise
        self.shape, self.width = (1, 1, 3), 6
        self.register_buffer("weight", torch.randn(3, 2, generator=generator, dtype=torch.float64))
        self.x = torch.randn(POINTS, 3, generator=generator, dtype=torch.float64)

    def features(self, batch: Tensor) -> Tensor:
        return batch

    def splits(self) -> Splits:
        return Splits(self.x + 1, self.x - 1, self.x)  # results are of the test data alone

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        likelihood = torch.distributions.Normal(self.mean(z), self.noise).log_prob(batch).sum(-1)
        return likelihood + torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)

    def mean(self, z: Tensor) -> Tensor:
        return z @ self.weight.T

    def exact(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ln p(x) (B,), posterior mean (B, D) and covariance (D, D)."""
        w, eye = self.weight, torch.eye(3, dtype=torch.float64)
        marginal = torch.distributions.MultivariateNormal(torch.zeros(3).double(), w @ w.T + self.noise**2 * eye)
        precision = torch.eye(2, dtype=torch.float64) + w.T @ w / self.noise**2
        covariance = torch.linalg.inv(precision)
        return marginal.log_prob(self.x), self.x @ w @ covariance / self.noise**2, covariance


class Stretched(Posterior):
    """The exact posterior of the linear Gaussian model, its covariance times a factor.

    Then ln w = ln p(x) + ln factor + (1 - factor) e with e standard exponential: a narrow posterior's weights follow a
    Pareto distribution of shape 1 - factor.
    """

    def __init__(self, model: LinearGaussian, factor: float) -> None:
        super().__init__()
        self.dim = self.noise_dim = 2
        _, _, covariance = model.exact()
        self.gain = nn.Parameter(model.weight @ covariance / model.noise**2)
        self.root = nn.Parameter(torch.linalg.cholesky(covariance) * math.sqrt(factor))

    def forward(self, noise, features=None, log_joint=None):
        z = features @ self.gain + noise @ self.root.T
        return z, self.log_prob(z, features)

    def log_prob(self, z, features=None):
        return torch.distributions.MultivariateNormal(features @ self.gain, scale_tril=self.root).log_prob(z)


def divergence(factor: float) -> float:
    """KL(q||p(z|x)) of `Stretched`, the same for every x."""
    return factor - 1 - math.log(factor)


def stretched(factor: float) -> Inference:
    model = LinearGaussian()
    return Inference(model, Stretched(model, factor))
