"""Families that follow the target's gradient, right and wrong; their ln q is that of auxiliary variables too."""

import math

import torch
from torch import nn

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.posteriors.contract import Posterior

EPS = 0.25


def slope(log_joint, z):
    """The target's gradient at z, with its graph."""
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        return torch.autograd.grad(log_joint(z).sum(), z, create_graph=True)[0]


class Auxiliary(Posterior):
    """A Gaussian base, and noise of momenta."""

    has_density = False
    momenta = 1

    def __init__(self, dim):
        super().__init__()
        self.dim, self.noise_dim = dim, (1 + self.momenta) * dim
        self.mean = nn.Parameter(torch.full((dim,), 0.5))
        self.log_sigma = nn.Parameter(torch.full((dim,), -0.7))

    def base(self, noise):
        z = self.mean + self.log_sigma.exp() * noise
        return z, standard_normal_log_prob(noise) - self.log_sigma.sum()

    def gradient(self, log_joint, z):
        return slope(log_joint, z)

    def leapfrog(self, log_joint, z, v):
        v = v + 0.5 * EPS * self.gradient(log_joint, z)
        z = z + EPS * v
        return z, v + 0.5 * EPS * self.gradient(log_joint, z)

    def log_prob(self, z, features=None):
        raise NotImplementedError("its ln q is that of auxiliary variables too")


class HVI(Auxiliary):
    """One momentum, two leapfrog steps, an affine reverse model (Salimans, Kingma & Welling 2015)."""

    def __init__(self, dim):
        super().__init__(dim)
        self.reverse = nn.Parameter(torch.tensor([-0.5, 0.25, -0.1]))  # slope, intercept, ln scale

    def forward(self, noise, features=None, log_joint=None):
        z, log_q = self.base(noise[..., : self.dim])
        v = first = noise[..., self.dim :]
        for _ in range(2):
            z, v = self.leapfrog(log_joint, z, v)
        return z, log_q + standard_normal_log_prob(first) - self.log_reverse(z, v, first)

    def log_reverse(self, z, v, first):
        a, c, log_s = self.reverse
        u = (v - a * z - c) * (-log_s).exp()
        return standard_normal_log_prob(u) - self.dim * log_s


class HVIReverseForgotten(HVI):
    """The reverse model's density is left out."""

    def log_reverse(self, z, v, first):
        return torch.zeros(z.shape[:-1], dtype=z.dtype)


class HVIMomentumForgotten(HVI):
    """The density of the momentum that was drawn is left out."""

    def log_reverse(self, z, v, first):
        return super().log_reverse(z, v, first) + standard_normal_log_prob(first)


class HVIKick(HVI):
    """The second half of a kick goes the other way: volume is preserved, but the path is not that of the target."""

    def leapfrog(self, log_joint, z, v):
        v = v + 0.5 * EPS * self.gradient(log_joint, z)
        z = z + EPS * v
        return z, v - 0.5 * EPS * self.gradient(log_joint, z)


class HVIWithoutPrior(HVI):
    """The gradient is that of the likelihood alone."""

    def gradient(self, log_joint, z):
        return slope(log_joint, z) + z  # the prior's gradient is -z


class HVIDownhill(HVI):
    """The momentum moves against the gradient."""

    def gradient(self, log_joint, z):
        return -slope(log_joint, z)


class HVIReverseAtStart(HVI):
    """The reverse model is evaluated at the momentum before the leapfrog."""

    def log_reverse(self, z, v, first):
        return super().log_reverse(z, first, first)


def hvi_reference(noise, theta, weights):
    """HVI on the conjugate model in plain Python: the gradient of ln p(x, z) is 4 - 5 z."""
    dim, log_q, z_end = len(noise) // 2, 0.0, []
    a, c, log_s = weights["reverse"]
    for i in range(dim):
        eps, v, log_sigma = noise[i], noise[dim + i], weights["log_sigma"][i]
        z = weights["mean"][i] + math.exp(log_sigma) * eps
        log_q += -0.5 * eps**2 - log_sigma - 0.5 * v**2
        for _ in range(2):
            v += 0.5 * EPS * (4 - 5 * z)
            z += EPS * v
            v += 0.5 * EPS * (4 - 5 * z)
        log_q -= -0.5 * ((v - a * z - c) * math.exp(-log_s)) ** 2 - log_s
        z_end.append(z)
    return z_end, log_q - 0.5 * dim * math.log(2 * math.pi)


class HVAE(Auxiliary):
    """Leapfrog, and cooling from sqrt(T_0), whose Jacobian cancels the momentum's variance (Caterini 2018)."""

    def __init__(self, dim):
        super().__init__(dim)
        self.log_t = nn.Parameter(torch.tensor(0.4))

    def forward(self, noise, features=None, log_joint=None):
        z, log_q = self.base(noise[..., : self.dim])
        gamma = noise[..., self.dim :]
        z, v = self.leapfrog(log_joint, z, gamma * (0.5 * self.log_t).exp())
        v = v * (-0.5 * self.log_t).exp()
        return z, log_q + standard_normal_log_prob(gamma) - standard_normal_log_prob(v) + self.jacobian()

    def jacobian(self):
        return 0.0


class HVAETwice(HVAE):
    """T_0^(D/2) is counted once more."""

    def jacobian(self):
        return 0.5 * self.dim * self.log_t


class UHA(Auxiliary):
    """Two steps of partial refreshment and leapfrog between base and target (Geffner & Domke 2021, eq. 11)."""

    momenta = 3
    eta = 0.5

    def forward(self, noise, features=None, log_joint=None):
        parts = noise.split(self.dim, -1)
        z, log_q = self.base(parts[0])
        rho = parts[1]
        for number in (1, 2):
            refreshed = self.eta * rho + math.sqrt(1 - self.eta**2) * parts[1 + number]
            bridge = self.bridge(log_joint, number / 3)
            before = self.counted(rho, refreshed)
            z, rho = self.leapfrog(bridge, z, refreshed)
            log_q = log_q + standard_normal_log_prob(before) - standard_normal_log_prob(rho)
        return z, log_q

    def bridge(self, log_joint, beta):
        def log_bridge(z):
            u = (z - self.mean) * (-self.log_sigma).exp()
            return (1 - beta) * standard_normal_log_prob(u) + beta * log_joint(z)

        return log_bridge

    def counted(self, rho, refreshed):
        return refreshed


class UHABeforeRefreshment(UHA):
    """S(rho_m) in place of S(rho'_m)."""

    def counted(self, rho, refreshed):
        return rho


class ULA(Auxiliary):
    """Two Langevin steps on the target, reversed by such steps (Thin et al. 2021)."""

    momenta = 2

    def forward(self, noise, features=None, log_joint=None):
        parts = noise.split(self.dim, -1)
        z, log_q = self.base(parts[0])
        delta = 0.5 * EPS**2
        for xi in parts[1:]:
            before, z = z, z + delta * self.gradient(log_joint, z) + EPS * xi
            back = (before - z - delta * self.gradient(log_joint, self.looks_at(before, z))) / EPS
            log_q = log_q + self.log_forth(xi) - standard_normal_log_prob(back)
        return z, log_q

    def looks_at(self, before, z):
        return z

    def log_forth(self, xi):
        return standard_normal_log_prob(xi)


class ULAForthForgotten(ULA):
    """The density of the step itself is left out."""

    def log_forth(self, xi):
        return torch.zeros(xi.shape[:-1], dtype=xi.dtype)


class ULAReverseAtOwnMean(ULA):
    """The reverse looks at the point that it is to explain: it is no density of it."""

    def looks_at(self, before, z):
        return before
