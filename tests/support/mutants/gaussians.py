"""A low-rank Gaussian and a mixture, which are posteriors and no flows, right and wrong."""

import math

import torch
from torch import nn

from nfbench.foundation.numerics import monotone_root
from nfbench.posteriors.contract import Posterior

LOG_2PI = math.log(2 * math.pi)


class LowRank(Posterior):
    """z = mu + d eps + V xi; ln q by Woodbury's identity (Ong, Nott & Smith 2018)."""

    rank = 2

    def __init__(self, dim):
        super().__init__()
        self.dim, self.noise_dim = dim, dim + self.rank
        self.mean = nn.Parameter(torch.zeros(dim))
        self.log_d = nn.Parameter(torch.full((dim,), -0.5))
        self.v = nn.Parameter(0.5 * torch.randn(dim, self.rank))

    def diagonal(self):
        """The diagonal part's standard deviations, as the density sees them."""
        return self.log_d.exp()

    def forward(self, noise, features=None, log_joint=None):
        eps, xi = noise.split([self.dim, self.rank], -1)
        z = self.mean + self.log_d.exp() * eps + xi @ self.v.mT
        return z, self.log_prob(z)

    def log_prob(self, z, features=None):
        d = self.diagonal()
        w, u = (self.v / d.unsqueeze(-1)).double(), (z - self.mean) / d
        # QR of W above I: no product W'W, which loses the I
        r = torch.linalg.qr(torch.cat([w, torch.eye(self.rank, dtype=w.dtype, device=w.device)])).R
        inner = torch.linalg.solve_triangular(r, u.double() @ w, upper=True, left=False)
        quadratic = u.double().square().sum(-1) - inner.square().sum(-1)
        log_det = 2 * d.log().sum() + 2 * r.diagonal().abs().log().sum()
        return (-0.5 * (self.dim * LOG_2PI + log_det + quadratic)).to(z.dtype)


class LowRankVariance(LowRank):
    """Woodbury's identity with d where d^2 belongs."""

    def diagonal(self):
        return (0.5 * self.log_d).exp()


class Mixture(Posterior):
    """Two diagonal Gaussians with equal widths: Rosenblatt's transform, gradients by the implicit function."""

    def __init__(self, dim):
        super().__init__()
        self.dim = self.noise_dim = dim
        self.logits = nn.Parameter(torch.tensor([0.3, -0.2]))
        self.means = nn.Parameter(torch.stack([torch.full((dim,), -1.0), torch.full((dim,), 1.0)]))
        self.raw = nn.Parameter(torch.zeros(2, dim))

    @property
    def log_s(self):
        """Logarithms of the widths, between -5 and 5."""
        return 5 * torch.tanh(self.raw / 5)

    def components(self, z):
        """Give ln pi_k N(z; mu_k, s_k), (S, B, 2)."""
        u = (z.unsqueeze(-2) - self.means) * (-self.log_s).exp()
        normal = -0.5 * (u.square() + LOG_2PI).sum(-1) - self.log_s.sum(-1)
        return self.logits.log_softmax(-1) + normal

    def log_prob(self, z, features=None):
        return self.components(z).logsumexp(-1)

    def forward(self, noise, features=None, log_joint=None):
        z = self.draw(noise)
        return z, self.log_q(z)

    def log_q(self, z):
        return self.log_prob(z)

    def draw(self, noise):
        weights, z = self.logits.log_softmax(-1).expand(*noise.shape[:-1], 2), []
        for i in range(self.dim):
            mean, s, eps = self.means[:, i], self.log_s[:, i].exp(), noise[..., i]
            w = weights.log_softmax(-1)

            sign = torch.where(eps > 0, -1.0, 1.0).to(eps.dtype)  # the tail that is the smaller one, by its logarithm

            def function(x, mean=mean, s=s, w=w, eps=eps, sign=sign):
                u = (x.unsqueeze(-1) - mean) / s
                log_cdf = (w + torch.special.log_ndtr(sign.unsqueeze(-1) * u)).logsumexp(-1)
                log_density = (w - 0.5 * u.square() - 0.5 * LOG_2PI - s.log()).logsumexp(-1)
                return sign * (log_cdf - torch.special.log_ndtr(sign * eps)), (log_density - log_cdf).exp()

            ends = mean + s * eps.unsqueeze(-1)
            root = monotone_root(function, ends.amin(-1).detach() - 1e-9, ends.amax(-1).detach() + 1e-9)
            value, density = function(root)
            x = root - value / density.detach()
            u = (x.unsqueeze(-1) - mean) / s
            weights = weights - 0.5 * u.square() - s.log()
            z.append(x)
        return torch.stack(z, -1)


class MixtureOneEntropy(Mixture):
    """ln q along draws is that of the component with the largest share alone."""

    def log_q(self, z):
        return (self.components(z) - self.logits.log_softmax(-1)).amax(-1)


class MixtureHardChoice(Mixture):
    """The component is chosen by one more number: no gradient reaches the weights."""

    def __init__(self, dim):
        super().__init__(dim)
        self.noise_dim = dim + 1

    def draw(self, noise):
        first = (torch.special.ndtr(noise[..., :1]) < self.logits.softmax(-1)[0]).to(noise.dtype)
        mean = first * self.means[0] + (1 - first) * self.means[1]
        log_s = first * self.log_s[0] + (1 - first) * self.log_s[1]
        return mean + log_s.exp() * noise[..., 1:]
