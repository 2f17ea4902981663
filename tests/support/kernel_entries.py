"""Every kernel's public entry: random sizes that fit it, whether sizes fit, and its values and gradients.

Shared by the tests of random calls and by ``benchmarks/memory_check.py``.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from hypothesis import strategies as st

from nfbench.kernels.coupling import reference as coupling
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.kernels.layers import affine, bernoulli, mixture
from nfbench.kernels.layers.integral import integral
from nfbench.kernels.layers.maxout import maxout
from nfbench.kernels.layers.perceptron import perceptron
from nfbench.kernels.layers.spline import spline
from nfbench.kernels.planar import reference as planar
from nfbench.kernels.radial import reference as radial
from support.families import normal

DRAWS = st.sampled_from([0, 1, 2, 7, 8, 9, 31, 127, 128, 129, 200])  # around the kernels' own limits
POINTS, DIMENSIONS, DEPTHS = st.integers(0, 5), st.integers(1, 19), st.integers(0, 6)
Shapes = list[tuple[int, ...]]


class Entry(NamedTuple):
    """A public function of kernels.

    Attributes:
        call: of tensors.
        shapes: draws shapes that fit.
        fits: whether shapes of the right number of axes fit, said independently of `kernels.shapes`.
        learned: how many of the tensors, from the first on, gradients are wanted in.
    """

    call: Callable[..., object]
    shapes: Callable[[st.DrawFn], Shapes]
    fits: Callable[..., bool]
    learned: int


def of_rows(draw: st.DrawFn, points: int) -> int:
    """A number of rows that fits draws of so many data points."""
    return draw(st.sampled_from([1, points, 3])) if points == 1 else draw(st.sampled_from([1, points]))


def rows_fit(rows: int, points: int) -> bool:
    """Whether that many rows of numbers serve draws of so many data points."""
    return rows in (1, points) or (points == 1 and rows > 0)


def chain(module) -> Entry:
    """`chain` of a map: points (S, B, D) and numbers (rows, K, R)."""

    def shapes(draw: st.DrawFn) -> Shapes:
        draws, points, dim, depth = draw(DRAWS), draw(POINTS), draw(DIMENSIONS), draw(DEPTHS)
        return [(draws, points, dim), (of_rows(draw, points), depth, module.numbers(dim))]

    def fits(z, maps):
        return rows_fit(maps[0], z[1]) and maps[2] == module.numbers(z[2])

    return Entry(module.chain, shapes, fits, 2)


def drawn(module) -> Entry:
    """`draw` of a map: noise (S, B, D), base (rows, 2 D) and theta (rows, K R)."""

    def shapes(draw: st.DrawFn) -> Shapes:
        draws, points, dim, depth = draw(DRAWS), draw(POINTS), draw(DIMENSIONS), draw(DEPTHS)
        rows = of_rows(draw, points)
        return [(draws, points, dim), (rows, 2 * dim), (draw(st.sampled_from([1, rows])), depth * module.numbers(dim))]

    def fits(noise, base, theta):
        rows = rows_fit(base[0], noise[1]) and rows_fit(theta[0], noise[1])
        both = base[0] == theta[0] or 1 in (base[0], theta[0])
        return rows and both and base[1] == 2 * noise[2] and theta[1] % module.numbers(noise[2]) == 0

    return Entry(module.draw, shapes, fits, 3)


def of_diagonal(draw: st.DrawFn) -> Shapes:
    draws, points, dim = draw(DRAWS), draw(POINTS), draw(DIMENSIONS)
    return [(draws, points, dim), (of_rows(draw, points), 2 * dim)]


def of_coupling(draw: st.DrawFn) -> Shapes:
    draws, points, dim, depth, hidden = draw(DRAWS), draw(POINTS), draw(st.integers(2, 9)), draw(DEPTHS), draw(POINTS)
    split, hidden = dim - dim // 2, hidden + 1
    network = [(depth, split, hidden), (of_rows(draw, points), depth, hidden), (depth, hidden, dim - split)]
    return [(draws, points, dim), (depth, dim, dim), *network, (depth, dim - split)]


def couplings(z, basis, *network):
    """`coupling.chain` with bases made orthogonal, which its loops rely on, where that can be done."""
    square = basis.dim() == 3 and basis.shape[1] == basis.shape[2]
    return coupling.chain(z, torch.linalg.qr(basis.detach())[0] if square else basis, *network)


def coupling_fits(z, basis, w_in, b_in, w_out, b_out):
    (depth, split, hidden), dim = w_in, z[2]
    weights = w_out == (depth, hidden, dim - split) and b_out == (depth, dim - split) and split <= dim
    return basis == (depth, dim, dim) and weights and b_in[1:] == (depth, hidden) and rows_fit(b_in[0], z[1])


def of_spline(draw: st.DrawFn) -> Shapes:
    draws, points, moved, bins = draw(DRAWS), draw(POINTS), draw(st.integers(1, 5)), draw(st.integers(1, 9))
    return [(draws, points, moved), (draws, points, moved * (3 * bins - 1))]


def spline_fits(x, raw):
    return x[:2] == raw[:2] and x[2] > 0 and raw[2] in range(2 * x[2], raw[2] + 1, 3 * x[2])


def of_integral(draw: st.DrawFn) -> Shapes:
    size, units = (draw(DRAWS), draw(POINTS), draw(st.integers(1, 5))), draw(DIMENSIONS)
    return [size, (*size, units), (units,), (units,), (units,), (1,)]


def integrals(z, *tensors):
    """`integral` by Simpson's rule."""
    points, rule = torch.tensor([0.0, 0.5, 1.0, 1.0]), torch.tensor([1.0, 4.0, 1.0]) / 6
    return integral(z, *tensors, points.to(z), rule.to(z))


def integral_fits(z, embedding, slopes, biases, weights, shift):
    return embedding == (*z, *slopes) and slopes == biases == weights and slopes[0] > 0 and shift == (1,)


def of_mixture(draw: st.DrawFn) -> Shapes:
    draws, points, dim, components = draw(DRAWS), draw(POINTS), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rows = of_rows(draw, points)
    return [(draws, points, dim), (rows, components), (rows, components, dim), (rows, components, dim)]


def mixtures(noise, logits, means, log_scales):
    """`mixture.draw`, which is there in float64 and takes weights of the sum 1."""
    weights = logits.double().log_softmax(-1) if logits.dim() else logits
    return mixture.draw(noise.double(), weights, means.double(), log_scales.double())


def mixture_fits(noise, logits, means, log_scales):
    rows, components = logits
    return means == log_scales == (rows, components, noise[2]) and components > 0 and rows_fit(rows, noise[1])


def of_likelihood(draw: st.DrawFn) -> Shapes:
    draws, points, pixels = draw(DRAWS), draw(POINTS), draw(DIMENSIONS)
    return [(draws, points, pixels), (draw(st.sampled_from([1, points])), pixels)]


def of_maxout(draw: st.DrawFn) -> Shapes:
    rows, inputs, units = draw(DRAWS), draw(DIMENSIONS), draw(DIMENSIONS)
    return [(rows, inputs), (4 * units, inputs), (4 * units,)]


def of_network(draw: st.DrawFn) -> Shapes:
    draws, points, inputs, hidden, outputs = (
        draw(each) for each in (DRAWS, POINTS, DIMENSIONS, DIMENSIONS, DIMENSIONS)
    )
    rows = of_rows(draw, points)
    biases = draw(st.sampled_from([1, rows]))
    return [(draws, points, inputs), (inputs, hidden), (rows, hidden), (hidden, outputs), (biases, outputs)]


def network_fits(x, w_in, b_in, w_out, b_out):
    rows = rows_fit(b_in[0], x[1]) and rows_fit(b_out[0], x[1]) and (b_in[0] == b_out[0] or 1 in (b_in[0], b_out[0]))
    return rows and w_in == (x[2], b_in[1]) and w_out == (b_in[1], b_out[1])


def of_affine(draw: st.DrawFn) -> Shapes:
    z, (_, hidden), b_in, _, (rows, _) = of_network(draw)
    moved, inputs = draw(st.integers(1, z[2])), draw(st.integers(1, z[2]))
    return [z, (inputs, hidden), b_in, (hidden, 2 * moved), (rows, 2 * moved)]


def affine_fits(z, w_in, b_in, w_out, b_out):
    network = network_fits((*z[:2], w_in[0]), w_in, b_in, w_out, b_out)
    return network and w_in[0] <= z[2] and w_out[1] % 2 == 0 and w_out[1] <= 2 * z[2]


def affine_entry(form: affine.Form) -> Entry:
    """An affine map of one form, whose numbers a network computes."""
    return Entry(lambda *tensors: affine.affine(*tensors, form), of_affine, affine_fits, 5)


ENTRIES = {
    "planar chain": chain(planar),
    "radial chain": chain(radial),
    "planar draw": drawn(planar),
    "radial draw": drawn(radial),
    "diagonal": Entry(diagonal.draw, of_diagonal, lambda z, base: base[1] == 2 * z[2] and rows_fit(base[0], z[1]), 2),
    "coupling": Entry(couplings, of_coupling, coupling_fits, 6),
    "network": Entry(perceptron, of_network, network_fits, 5),
    "affine": affine_entry(affine.Form(2.0, gated=False, scale_first=True)),
    "gated": affine_entry(affine.Form(1.0, gated=True, scale_first=False, unit=0.7)),
    "spline": Entry(lambda x, raw: spline(x, raw, 0.8), of_spline, spline_fits, 2),
    "integral": Entry(integrals, of_integral, integral_fits, 6),
    "mixture": Entry(mixtures, of_mixture, mixture_fits, 4),
    "likelihood": Entry(
        bernoulli.log_prob, of_likelihood, lambda logits, x: x[1] == logits[2] and rows_fit(x[0], logits[1]), 1
    ),
    "maxout": Entry(
        lambda x, weight, bias: maxout(x, weight, bias, 4),
        of_maxout,
        lambda x, weight, bias: x[1] == weight[1] and weight[0] == bias[0] and weight[0] % 4 == 0,
        3,
    ),
}


def tensors(shapes: Shapes, dtype: torch.dtype) -> list[torch.Tensor]:
    """Moderate normal numbers of these shapes, so that chains stay well within float32."""
    values = []
    for seed, shape in enumerate(shapes):
        numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        values.append((numbers / (2 + 2 * math.sqrt(shape[-1] if seed and shape else 0))).to(dtype))
    return values


def results(entry: Entry, shapes: Shapes, dtype: torch.dtype) -> list[torch.Tensor]:
    """What the entry returns, and the gradients of a weighted sum of it."""
    values = tensors(shapes, dtype)
    leaves = [value.requires_grad_() for value in values[: entry.learned]]
    outputs = entry.call(*values)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    total = sum((output * normal(*output.shape, seed=9).to(dtype)).sum() for output in outputs)
    return [*outputs, *torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)]
