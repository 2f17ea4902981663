"""Planar and radial chains in scalars that count their own operations, forward and back."""

import math

import torch

D, K = 4, 2


class Counted:
    """A number that counts the operations it takes part in; a negative sign is part of what it enters."""

    flops = 0

    def __init__(self, value):
        self.value = value

    def _binary(self, other, operation):
        Counted.flops += 1
        return Counted(operation(self.value, other.value if isinstance(other, Counted) else other))

    def __add__(self, other):
        return self._binary(other, lambda a, b: a + b)

    def __sub__(self, other):
        return self._binary(other, lambda a, b: a - b)

    def __mul__(self, other):
        return self._binary(other, lambda a, b: a * b)

    def __truediv__(self, other):
        return self._binary(other, lambda a, b: a / b)

    def of(self, function):
        Counted.flops += 1
        return Counted(function(self.value))


def counted(tensor):
    """Nested lists of counted numbers."""
    return [counted(part) for part in tensor] if tensor.dim() else Counted(tensor.item())


def zeros(count):
    return [Counted(0.0) for _ in range(count)]


def dot(a, b):
    """2 D - 1 operations."""
    products = [x * y for x, y in zip(a, b, strict=True)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total


def plus(a, scale, b):
    """The sum a + scale b, 2 D operations."""
    return [x + scale * y for x, y in zip(a, b, strict=True)]


def minus(a, scale, b):
    return [x - scale * y for x, y in zip(a, b, strict=True)]


def softplus(x):
    """ln(1 + e^x) in three operations, and its slope's numerator and denominator."""
    e = x.of(math.exp)
    one_more = e + 1
    return one_more.of(math.log), e, one_more


class PlanarMap:
    """One planar map, forward and back, written with scalars."""

    def __init__(self, theta):
        self.w, self.u, self.b = theta[:D], theta[D : 2 * D], theta[2 * D]
        self.sums = {"u_hat": zeros(D), "w": zeros(D), "b": Counted(0.0), "s": Counted(0.0)}

    def prepare(self):
        self.wu, self.ww = dot(self.w, self.u), dot(self.w, self.w)
        self.s, self.e, self.one_more = softplus(self.wu)
        self.m = self.s - 1
        self.c = (self.m - self.wu) / self.ww
        self.u_hat = plus(self.u, self.c, self.w)

    def forward(self, z, log_q):
        h = (dot(self.w, z) + self.b).of(math.tanh)
        square = h * h
        inner = square + self.s * (Counted(1.0) - square)
        return plus(z, h, self.u_hat), log_q - inner.of(math.log), h

    def prepare_back(self):
        self.prepare()
        self.twice = self.m * 2

    def back(self, z, h, g, to_log_q):
        z = minus(z, h, self.u_hat)
        square = h * h
        rest = Counted(1.0) - square
        part = to_log_q / (square + self.s * rest)
        da = (dot(g, self.u_hat) + h * part * self.twice) * rest
        self.sums["s"] = self.sums["s"] - part * rest
        self.sums["u_hat"] = plus(self.sums["u_hat"], h, g)
        self.sums["w"] = plus(self.sums["w"], da, z)
        self.sums["b"] = self.sums["b"] + da
        return z, plus(g, da, self.w)

    def finish(self):
        by_c = dot(self.sums["u_hat"], self.w) / self.ww
        by_wu = (self.sums["s"] + by_c) * (self.e / self.one_more) - by_c
        twice = by_c * self.c * 2
        u = plus(self.sums["u_hat"], by_wu, self.w)
        w = minus(plus(plus(self.sums["w"], self.c, self.sums["u_hat"]), by_wu, self.u), twice, self.w)
        return [*w, *u, self.sums["b"]]


class RadialMap:
    """One radial map, forward and back, written with scalars."""

    def __init__(self, theta):
        self.centre, self.raw = theta[:D], theta[D:]
        self.sums = {"centre": zeros(D), "alpha": Counted(0.0), "s": Counted(0.0)}

    def prepare(self):
        (self.alpha, *self.slope_alpha), (self.s, *self.slope_s) = map(softplus, self.raw)
        self.beta, self.twice, self.product = self.s - self.alpha, self.alpha * 2, self.alpha * self.s

    prepare_back = prepare

    def forward(self, z, log_q):
        offset = [x - c for x, c in zip(z, self.centre, strict=True)]
        r = dot(offset, offset).of(math.sqrt)
        wide, p = self.alpha + r, r + self.s
        along = r * (r + self.twice) + self.product
        logs = p.of(math.log) * (D - 1) - wide.of(math.log) * (D + 1) + along.of(math.log)
        return plus(z, self.beta / wide, offset), log_q - logs, r

    def back(self, z, r, g, to_log_q):
        wide, p = self.alpha + r, r + self.s
        ratio = wide / p
        offset = [(x - c) * ratio for x, c in zip(z, self.centre, strict=True)]
        z = [c + x for c, x in zip(self.centre, offset, strict=True)]
        f, along = self.beta / wide, r * (r + self.twice) + self.product
        over, under = Counted(D - 1.0) / p, Counted(D + 1.0) / wide
        by_f = dot(g, offset) / wide
        by_wide = by_f * f
        by_r = to_log_q * (under - over - wide * 2 / along) - by_wide
        by_alpha = to_log_q * (under - (r + p) / along) - by_wide - by_f
        self.sums["alpha"] = self.sums["alpha"] + by_alpha
        self.sums["s"] = self.sums["s"] + (by_f - to_log_q * (over + self.alpha / along))
        k = by_r / r
        to_offset = [f * x + k * y for x, y in zip(g, offset, strict=True)]
        self.sums["centre"] = [x - y for x, y in zip(self.sums["centre"], to_offset, strict=True)]
        return z, [x + y for x, y in zip(g, to_offset, strict=True)]

    def finish(self):
        slopes = (self.sums["alpha"], self.slope_alpha), (self.sums["s"], self.slope_s)
        return [*self.sums["centre"], *(total * (e / one_more) for total, (e, one_more) in slopes)]


def chain(kind, q, noise, to_z, to_log_q):
    """Draws, ln q, the flops of forward, the gradients of base and theta, the flops of both ways: S draws, B = 1."""
    Counted.flops = 0
    base, theta = counted(q.source.base[0]), counted(q.source.theta[0])
    mean, log_sigma = base[:D], base[D:]
    maps = [kind(theta[k * (len(theta) // K) : (k + 1) * (len(theta) // K)]) for k in range(K)]
    sigma = [x.of(math.exp) for x in log_sigma]
    constant = Counted(D / 2 * math.log(2 * math.pi))
    for x in log_sigma:
        constant = constant + x
    for one in maps:
        one.prepare()
    results = [_draw(maps, mean, sigma, constant, counted(one)) for one in noise[:, 0]]
    forward = Counted.flops
    for one in maps:
        one.prepare_back()
    sums = zeros(D), zeros(D), Counted(0.0)
    for (z, _, saved), one, dz, dq in zip(results, noise[:, 0], to_z[:, 0], to_log_q[:, 0], strict=True):
        sums = _undo(maps, sums, (z, saved), (counted(one), counted(dz), counted(dq)))
    ends = [number for one in maps for number in one.finish()]
    to_log_sigma = [x * y - sums[2] for x, y in zip(sums[1], sigma, strict=True)]
    return results, forward, [*sums[0], *to_log_sigma], ends, Counted.flops


def _draw(maps, mean, sigma, constant, noise):
    z = [m + s * n for m, s, n in zip(mean, sigma, noise, strict=True)]
    log_q = dot(noise, noise) * -0.5 - constant
    saved = []
    for one in maps:
        z, log_q, kept = one.forward(z, log_q)
        saved.append(kept)
    return z, log_q, saved


def _undo(maps, sums, drawn, given):
    (z, saved), (noise, g, to_log_q) = drawn, given
    for one, kept in zip(reversed(maps), reversed(saved), strict=True):
        z, g = one.back(z, kept, g, to_log_q)
    to_mean = [x + y for x, y in zip(sums[0], g, strict=True)]
    to_log_sigma = [x + y * n for x, y, n in zip(sums[1], g, noise, strict=True)]
    return to_mean, to_log_sigma, sums[2] + to_log_q


def values(numbers):
    return torch.tensor([number.value for number in numbers], dtype=torch.float64)
