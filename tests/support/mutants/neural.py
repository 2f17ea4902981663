"""A neural autoregressive flow and a continuous one, right and wrong."""

import torch
from torch import nn
from torch.nn.functional import softplus

from nfbench.foundation.numerics import monotone_root
from support.mutants.chain import Chain


class BNAF(Chain):
    """z_i' = z_i + sum_j a_ij tanh(b_ij z_i + c_ij(z_<i)), a, b > 0; order reversed after each (as De Cao 2019)."""

    units = 3
    residual = 1.0

    def __init__(self, dim, depth):
        super().__init__(dim, depth)
        self.raw = nn.Parameter(torch.randn(depth, 2, dim, self.units) - 1)
        self.below = nn.Parameter(0.3 * torch.randn(depth, dim, self.units, dim))
        self.bias = nn.Parameter(torch.randn(depth, dim, self.units))

    def value(self, x, known, k, i):
        """The i-th output and its slope at x (S, B), given the coordinates before it."""
        a, b = softplus(self.raw[k, :, i])
        c = self.bias[k, i] + known[..., :i] @ self.below[k, i, :, :i].mT
        h = torch.tanh(b * x.unsqueeze(-1) + c)
        return self.residual * x + (a * h).sum(-1), self.residual + (a * b * (1 - h.square())).sum(-1)

    def there(self, z, numbers, k):
        pairs = [self.value(z[..., i], z, k, i) for i in range(self.dim)]
        values, slopes = (torch.stack(parts, -1) for parts in zip(*pairs, strict=True))
        return values.flip(-1), slopes.log().sum(-1)

    def back(self, z, numbers, k):
        z, known, total = z.flip(-1), z[..., :0], 0.0
        for i in range(self.dim):
            reach = softplus(self.raw[k, 0, i]).sum().detach() + 1 + 50 * (1 - self.residual)
            at = z[..., i]

            def function(x, i=i, known=known, at=at):
                value, slope = self.value(x, known, k, i)
                return value - at, slope

            root = monotone_root(function, at.detach() - reach, at.detach() + reach)
            value, slope = function(root)
            root = root - value / slope.detach()
            total = total - self.value(root, known, k, i)[1].log()
            known = torch.cat([known, root.unsqueeze(-1)], -1)
        return known, total


class BNAFWithoutResidual(BNAF):
    """Without the residual the image is bounded."""

    residual = 0.0


STEPS = 8


class Continuous(Chain):
    """dz/dt = A tanh(B z + b) by Heun's steps from 0 to 1, ln|det| that of the discrete map by its exact Jacobian."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth)
        self.inner = nn.Parameter(0.5 * torch.randn(depth, dim, dim))
        self.outer = nn.Parameter(0.1 * torch.randn(depth, dim, dim))
        self.bias = nn.Parameter(torch.randn(depth, dim))

    integration_error = 0.02

    def field(self, z, k):
        h = torch.tanh(z @ self.inner[k].mT + self.bias[k])
        jacobian = self.outer[k] @ ((1 - h.square()).unsqueeze(-1) * self.inner[k])
        return h @ self.outer[k].mT, self.trace(jacobian)

    def trace(self, jacobian):
        return jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)

    def flow(self, z, k, direction):
        total, step = z.new_zeros(z.shape[:-1]), direction / STEPS
        for _ in range(STEPS):
            first, trace = self.field(z, k)
            second, later = self.field(z + step * first, k)
            z, total = z + 0.5 * step * (first + second), total + 0.5 * step * (trace + later)
        return z, total

    def there(self, z, numbers, k):
        return self.flow(z, k, 1.0)

    def back(self, z, numbers, k):
        return self.flow(z, k, -1.0)


class ContinuousRedrawn(Continuous):
    """Hutchinson's trace with new noise at every call of the field."""

    def trace(self, jacobian):
        e = 2.0 * torch.randint(0, 2, jacobian.shape[:-1]) - 1
        return torch.einsum("...i,...ij,...j", e.to(jacobian), jacobian, e.to(jacobian))
