"""What a family needs at least: the formulas against numbers that count their own operations."""

import math

import pytest
import torch
from support.families import normal, specs, wild
from torch.utils.flop_counter import FlopCounterMode

from nfbench import posterior
from nfbench.posteriors.contract import Identity
from nfbench.records.timings import Case
from nfbench.timing.contenders import textbook
from nfbench.timing.contenders.contract import inputs

S, D, K = 3, 4, 2


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


@pytest.mark.parametrize(("family", "kind"), [("planar", PlanarMap), ("radial", RadialMap)])
def test_flops_are_those_of_a_chain_that_counts_itself(family, kind):
    """A scalar chain whose draws and gradients are right takes exactly the flops of the formula."""
    q = wild(f"{family}:K={K}", D, seed=1)
    noise, to_z, to_log_q = normal(S, 1, D, seed=2), normal(S, 1, D, seed=3), normal(S, 1, seed=4)
    z, log_q = q(noise)
    torch.autograd.backward((z, log_q), (to_z, to_log_q))
    results, forward, base, theta, both = chain(kind, q, noise, to_z, to_log_q)
    for mine, true_z, true_q in zip(results, z[:, 0], log_q[:, 0], strict=True):
        torch.testing.assert_close(values(mine[0]), true_z.detach())
        torch.testing.assert_close(torch.tensor(mine[1].value, dtype=torch.float64), true_q.detach())
    torch.testing.assert_close(values(base), q.source.base.grad[0])
    torch.testing.assert_close(values(theta), q.source.theta.grad[0])
    assert forward == q.flow.cost(S, 1, 1, gradient=False).flops
    assert both == q.flow.cost(S, 1, 1, gradient=True).flops


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("mixing", ["permutation", "orthogonal"])
def test_flops_of_couplings_are_their_products_and_a_few_more(mixing, gradient):
    """Torch's own count of the textbook's matrix products, and beside them what the docstring says of a map."""
    hidden, moved, mode = 16, D // 2, "backward" if gradient else "sample"
    spec = f"nice:K={K},mixing={mixing},hidden={hidden}"
    case = Case(profile="test", posterior=spec, mode=mode, dim=D, draws=S, dtype="float64", threads=1)
    work = textbook.eager(case, inputs(case))
    with FlopCounterMode(display=False) as counter:
        work.run()
    ways = 2 if gradient else 1
    besides = S * K * (ways * moved + (4 if gradient else 1) * hidden) + K * ways * moved * (hidden + 1)
    if mixing == "orthogonal":
        besides -= S * K * ways * D  # torch counts a sum of D products as 2 D, it is 2 D - 1
    base = Identity(D).cost(S, 1, 1, gradient=gradient)
    cost = posterior(spec, D).flow.cost(S, 1, 1, gradient=gradient)
    assert cost.flops - base.flops - besides == counter.get_total_flops() > 0


def test_a_narrow_coupling_can_fold_its_rotation():
    """With fewer hidden units than dimensions the rotation costs no more than folding it into the weights."""
    narrow, wide = (posterior(f"nice:K=1,mixing=orthogonal,hidden={H}", D).flow for H in (2, D))
    still = [posterior(f"nice:K=1,hidden={H}", D).flow for H in (2, D)]
    turns = [
        turning.cost(1, 1, 1, gradient=False).flops - permuting.cost(1, 1, 1, gradient=False).flops
        for turning, permuting in zip((narrow, wide), still, strict=True)
    ]
    assert turns == [2 * D * 2, 2 * D * D - D]


@pytest.mark.parametrize(
    ("spec", "forward", "gradient"),
    [
        # D = 2, S = 3: noise 6, z 6, ln q 3, base 4; with gradient z 6, dz 6, dln q 3, base 4 again, its gradient 4
        ("gaussian", 19, 42),
        # theta 5; again 5, its gradient 5, h of three draws out and back 6
        ("planar:K=1", 19 + 5, 42 + 5 + 5 + 5 + 6),
        # theta 4; again 4, its gradient 4, r of three draws out and back 6
        ("radial:K=1", 19 + 4, 42 + 4 + 4 + 4 + 6),
        # weights 7 + 7 + 1, biases 7, order 2; with gradient three times weights and biases, twice the order
        ("nice:K=1,hidden=7", 19 + 22 + 2, 42 + 3 * 22 + 2 * 2),
        ("nice:K=1,hidden=7,mixing=orthogonal", 19 + 22 + 4, 42 + 3 * 22 + 2 * 4),
    ],
)
def test_numbers_are_those_counted_by_hand(spec, forward, gradient):
    """Everything read and written, one by one, for three draws in two dimensions."""
    flow = posterior(spec, 2).flow
    assert flow.cost(3, 1, 1, gradient=False).numbers == forward
    assert flow.cost(3, 1, 1, gradient=True).numbers == gradient


def test_numbers_of_each_point_are_its_own():
    """Amortized, theta and base are counted once a data point; draws as before."""
    flow = posterior("planar:K=1", 2).flow
    shared, own = (flow.cost(3, 4, points, gradient=True) for points in (1, 4))
    assert own.numbers - shared.numbers == 3 * (3 * 4 + 3 * 5)  # three points more, each number three times
    assert own.flops - shared.flops == 3 * (4 * 2 + 22 * 2 + 15)


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("spec", specs(1))
def test_costs_grow_in_proportion(spec, gradient):
    """Each further draw, data point and map costs the same; a gradient costs more than none."""
    flow = posterior(spec, D).flow
    by_draws = [flow.cost(draws, 2, 2, gradient=gradient) for draws in (1, 2, 3)]
    by_depth = [posterior(deeper, D).flow.cost(5, 2, 2, gradient=gradient) for deeper in deepened(spec)]
    for costs in (by_draws, by_depth):
        for first, second, third in zip(*costs, strict=True):
            assert third - second == second - first >= 0
    assert by_draws[0].flops < by_draws[1].flops
    assert by_draws[0].numbers < by_draws[1].numbers
    with_gradient, without = (flow.cost(5, 2, 2, gradient=which) for which in (True, False))
    assert all(more > less for more, less in zip(with_gradient, without, strict=True))


def deepened(spec):
    """The spec at depths 1, 2 and 3, or itself where it has none."""
    return [spec.replace("K=1", f"K={depth}") for depth in (1, 2, 3)]
