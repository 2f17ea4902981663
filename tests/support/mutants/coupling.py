"""Couplings, splines and autoregressive flows, right and wrong."""

import math

import torch
from torch import nn
from torch.nn.functional import logsigmoid, pad, softmax, softplus

from support.mutants.chain import Chain


class RealNVP(Chain):
    """Affine couplings, each after a fixed permutation: as the recipe for a family of one's own says, nothing more."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth)
        self.read = dim - dim // 2
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(self.read, 16), nn.Tanh(), nn.Linear(16, 2 * (dim // 2))) for _ in range(depth)
        )
        for net in self.nets:
            nn.init.zeros_(net[2].weight)
            nn.init.zeros_(net[2].bias)
        self.register_buffer("places", torch.stack([torch.randperm(dim) for _ in range(depth)]))

    def there(self, z, numbers, k):
        read, moved = z[..., self.places[k]].split([self.read, self.dim - self.read], -1)
        s, t = self.nets[k](read).chunk(2, -1)
        s = 2 * torch.tanh(s)
        return torch.cat([read, moved * s.exp() + t], -1), s.sum(-1)

    def back(self, z, numbers, k):
        read, moved = z.split([self.read, self.dim - self.read], -1)
        s, t = self.nets[k](read).chunk(2, -1)
        s = 2 * torch.tanh(s)
        return torch.cat([read, (moved - t) * (-s).exp()], -1)[..., self.undone(k)], -s.sum(-1)

    def undone(self, k):
        return self.places[k].argsort()


class RealNVPInverseSign(RealNVP):
    """ln|det| of the inverse has the sign of the way there."""

    def inverse(self, z, theta):
        z, log_det = super().inverse(z, theta)
        return z, -log_det


class RealNVPOrder(RealNVP):
    """The inverse goes through the maps in the order of the way there."""

    def order(self):
        return range(self.depth)


class RealNVPOnePermutation(RealNVP):
    """The permutation itself undoes the permutation, which holds for those that are their own inverse."""

    def undone(self, k):
        return self.places[k]


class IAF(Chain):
    """Gated steps z' = g z + (1 - g) m with m, g of the coordinates before, order reversed after each (Kingma 2016)."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth)
        self.weight = nn.Parameter(0.1 * torch.randn(depth, 2, dim, dim))
        self.bias = nn.Parameter(torch.zeros(depth, 2, dim))

    gate_bias = 2.0

    def heads(self, z, k):
        weight = torch.tril(self.weight[k], -1)
        m, s = (z @ weight[i].mT + self.bias[k, i] for i in range(2))
        return torch.tanh(m), torch.tanh(s)

    def log_gate(self, s):
        return logsigmoid(s + self.gate_bias).sum(-1)

    def there(self, z, numbers, k):
        m, s = self.heads(z, k)
        gate = torch.sigmoid(s + self.gate_bias)
        return (gate * z + (1 - gate) * m).flip(-1), self.log_gate(s)

    def back(self, z, numbers, k):
        z = self.unreversed(z)
        known = torch.zeros_like(z)
        for i in range(self.dim):
            m, s = self.heads(known, k)
            gate = torch.sigmoid(s + self.gate_bias)
            value = (z - (1 - gate) * m) / gate
            known = torch.cat([known[..., :i], value[..., i : i + 1], known[..., i + 1 :]], -1)
        return known, -self.log_gate(self.heads(known, k)[1])

    def unreversed(self, z):
        return z.flip(-1)


class IAFWithoutGateBias(IAF):
    """The gate's bias is left out of ln|det|."""

    def log_gate(self, s):
        return logsigmoid(s).sum(-1)


class IAFReversalForgotten(IAF):
    """The inverse does not reverse the order back."""

    def unreversed(self, z):
        return z


BINS, EDGE = 4, 3.0


class Spline(Chain):
    """An elementwise rational-quadratic spline on [-3, 3], then a rotation by a fixed permutation (Durkan 2019)."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth, dim * (3 * BINS - 1))

    def knots(self, numbers):
        numbers = numbers.unflatten(-1, (self.dim, 3 * BINS - 1))
        widths, heights, slopes = numbers.split([BINS, BINS, BINS - 1], -1)
        x, y = (pad(2 * EDGE * softmax(0.2 * v, -1).cumsum(-1), (1, 0)) - EDGE for v in (widths, heights))
        d = pad(softplus(0.2 * slopes + math.log(math.e - 1)), (1, 1), value=self.end_slope())
        return x, y, d

    def end_slope(self):
        return 1.0

    def bin(self, v, x, y, d, edges):
        index = (v.unsqueeze(-1) >= edges[..., 1:-1]).sum(-1, keepdim=True)
        at = [t.expand(*v.shape, BINS + 1) for t in (x, y, d)]
        low = [t.gather(-1, index).squeeze(-1) for t in at]
        high = [t.gather(-1, index + 1).squeeze(-1) for t in at]
        return low, high, index

    def there(self, z, numbers, k):
        x, y, d = self.knots(numbers)
        inside = z.abs() < EDGE
        v = z.clamp(-EDGE + 1e-9, EDGE - 1e-9)
        (x0, y0, d0), (x1, y1, d1), index = self.bin(v, x, y, d, x)
        w, h = x1 - x0, y1 - y0
        s, xi = h / w, (v - x0) / w
        value = y0 + h * (s * xi**2 + d0 * xi * (1 - xi)) / (s + (d1 + d0 - 2 * s) * xi * (1 - xi))
        log_slope = self.log_slope(s, xi, *self.ends(d, d0, d1, index))
        return torch.where(inside, value, z).roll(1, -1), torch.where(inside, log_slope, 0.0).sum(-1)

    def ends(self, d, d0, d1, index):
        """The derivatives at both ends of the bin."""
        return d0, d1

    def log_slope(self, s, xi, d0, d1):
        top = s**2 * (d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2)
        return top.log() - 2 * (s + (d1 + d0 - 2 * s) * xi * (1 - xi)).log()

    def back(self, z, numbers, k):
        z = z.roll(-1, -1)
        x, y, d = self.knots(numbers)
        inside = z.abs() < EDGE
        v = z.clamp(-EDGE + 1e-9, EDGE - 1e-9)
        (x0, y0, d0), (x1, y1, d1), index = self.bin(v, x, y, d, y)
        w, h = x1 - x0, y1 - y0
        s, r, e = h / w, v - y0, d1 + d0 - 2 * h / w
        a, b, c = h * (s - d0) + r * e, h * d0 - r * e, -s * r
        xi = 2 * c / (-b - (b**2 - 4 * a * c).clamp_min(0).sqrt())
        log_slope = self.log_slope(s, xi, *self.ends(d, d0, d1, index))
        return torch.where(inside, x0 + w * xi, z), -torch.where(inside, log_slope, 0.0).sum(-1)


class SplineNextBin(Spline):
    """The derivative at the upper end is that of the knot after it."""

    def ends(self, d, d0, d1, index):
        every = d.expand(*d0.shape, BINS + 1)
        return d0, every.gather(-1, (index + 2).clamp_max(BINS)).squeeze(-1)


class SplineTails(Spline):
    """The derivative at the box's edge is 2, that of the tails 1: the density jumps there."""

    def end_slope(self):
        return 2.0


def spline_reference(z, theta, weights):
    """The chain of splines in plain Python."""
    dim, total, size = len(z), 0.0, 3 * BINS - 1
    for k in range(len(theta) // (dim * size)):
        moved = []
        for i in range(dim):
            raw = theta[(k * dim + i) * size : (k * dim + i + 1) * size]
            knots = []
            for part in (raw[:BINS], raw[BINS : 2 * BINS]):
                shares = [math.exp(0.2 * v) for v in part]
                places = [-EDGE]
                for share in shares:
                    places.append(places[-1] + 2 * EDGE * share / sum(shares))
                knots.append(places)
            d = [1.0, *(math.log1p((math.e - 1) * math.exp(0.2 * v)) for v in raw[2 * BINS :]), 1.0]
            x, y = knots
            if abs(z[i]) >= EDGE:
                moved.append(z[i])
                continue
            j = sum(z[i] >= edge for edge in x[1:-1])
            w, h = x[j + 1] - x[j], y[j + 1] - y[j]
            s, xi = h / w, (z[i] - x[j]) / w
            below = s + (d[j + 1] + d[j] - 2 * s) * xi * (1 - xi)
            moved.append(y[j] + h * (s * xi**2 + d[j] * xi * (1 - xi)) / below)
            slope = s**2 * (d[j + 1] * xi**2 + 2 * s * xi * (1 - xi) + d[j] * (1 - xi) ** 2) / below**2
            total += math.log(slope)
        z = [moved[-1], *moved[:-1]]
    return z, total
