"""Monotone rational-quadratic splines on a box, the identity outside (Gregory & Delbourgo 1982; Durkan et al. 2019).

Between the knots (x_k, y_k) and (x_k+1, y_k+1), a bin of width w and height h with slopes d_0 and d_1 at its ends, with
s = h/w and xi = (x - x_k)/w,

y = y_k + h (s xi^2 + d_0 xi (1 - xi)) / (s + (d_0 + d_1 - 2 s) xi (1 - xi)),
dy/dx = s^2 (d_1 xi^2 + 2 s xi (1 - xi) + d_0 (1 - xi)^2) / (s + (d_0 + d_1 - 2 s) xi (1 - xi))^2.

At the ends of the box y = x and the slope is 1, so that the tails, y = x, continue it smoothly. Points are moved into
the box before the spline is computed: what lies outside then has finite values and gradients, which `where` drops.

`spline.spline` computes the same as `spline` of `bins_of`, by compiled loops where it can.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

LEAST = 1e-3  # the least width and height of a bin as a fraction of the box, and the least slope
UNIT_SLOPE = math.log(math.expm1(1 - LEAST))  # the raw slope at which LEAST + softplus is 1
LINEAR = 20  # above it torch's softplus is its argument


class Bins(NamedTuple):
    """A spline of N bins for each number that it is applied to.

    Attributes:
        x: (..., N + 1), knots from -bound to bound.
        y: (..., N + 1), their values, from -bound to bound.
        slopes: (..., N + 1), derivatives at the knots, the first and the last of them 1.
    """

    x: Tensor
    y: Tensor
    slopes: Tensor


def bins_of(raw: Tensor, bound: float) -> Bins:
    """Make a spline of unconstrained numbers; zeros make the identity.

    Widths and heights are 2 bound (LEAST + (1 - N LEAST) softmax), inner slopes LEAST + softplus(raw + UNIT_SLOPE).

    >>> x = bins_of(torch.tensor([0.0, 1.0, -1.0] + 5 * [0.0], dtype=torch.float64), bound=3.0).x
    >>> x.diff().numpy().round(9)
    array([1.46996571, 3.9854714 , 0.54456289])

    Args:
        raw: (..., 3 N - 1), of N widths, N heights and N - 1 slopes.
        bound: the box is [-bound, bound].

    Returns:
        The spline.
    """
    num = (raw.shape[-1] + 1) // 3
    widths, heights, slopes = torch.split(raw, [num, num, num - 1], -1)
    inner = LEAST + softplus(slopes + UNIT_SLOPE, threshold=LINEAR)
    return Bins(_knots(widths, bound), _knots(heights, bound), pad(inner, (1, 1), value=1.0))


def spline(x: Tensor, bins: Bins) -> tuple[Tensor, Tensor]:
    """Apply a spline.

    Args:
        x: (...).
        bins: a spline for each x, (..., N + 1).

    Returns:
        y and ln dy/dx, (...) both.
    """
    bound = bins.x[..., -1]
    inside, within = (x > -bound) & (x < bound), x.clamp(-bound, bound)
    x_0, y_0, width, height, d_0, d_1 = _bin(within, bins.x, bins)
    s, xi = height / width, (within - x_0) / width
    both = xi * (1 - xi)
    below = s + (d_0 + d_1 - 2 * s) * both
    y = y_0 + height * (s * xi.square() + d_0 * both) / below
    log_slope = _log_slope(s, xi, both, below, d_0, d_1)
    return torch.where(inside, y, x), torch.where(inside, log_slope, 0.0)


def spline_inverse(y: Tensor, bins: Bins) -> tuple[Tensor, Tensor]:
    """Undo `spline`: in its bin, xi solves a quadratic equation, by the root's form that does not cancel.

    Args:
        y: (...).
        bins: a spline for each y, (..., N + 1).

    Returns:
        x and ln dx/dy, (...) both.
    """
    bound = bins.y[..., -1]
    inside, within = (y > -bound) & (y < bound), y.clamp(-bound, bound)
    x_0, y_0, width, height, d_0, d_1 = _bin(within, bins.y, bins)
    s, rise = height / width, within - y_0
    excess = d_0 + d_1 - 2 * s
    a, b, c = height * (s - d_0) + rise * excess, height * d_0 - rise * excess, -s * rise
    root = (b.square() - 4 * a * c).clamp_min(torch.finfo(y.dtype).tiny).sqrt()  # below 0 by rounding only
    xi = (2 * c / (-b - root)).clamp(0, 1)
    both = xi * (1 - xi)
    log_slope = _log_slope(s, xi, both, s + excess * both, d_0, d_1)
    return torch.where(inside, x_0 + xi * width, y), torch.where(inside, -log_slope, 0.0)


def _knots(raw: Tensor, bound: float) -> Tensor:
    """Knots from -bound to bound, `raw (..., N) -> (..., N + 1)`."""
    num = raw.shape[-1]
    parts = LEAST + (1 - num * LEAST) * raw.softmax(-1)
    inner = 2 * bound * parts[..., :-1].cumsum(-1) - bound
    return pad(pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


def _bin(at: Tensor, edges: Tensor, bins: Bins) -> list[Tensor]:
    """Of the bin that each number lies in by `edges`: x_0, y_0, width, height, d_0, d_1, each (...)."""
    index = (at.unsqueeze(-1) >= edges[..., 1:-1]).sum(-1, keepdim=True)
    x_0, y_0, d_0 = (numbers.gather(-1, index).squeeze(-1) for numbers in bins)
    x_1, y_1, d_1 = (numbers.gather(-1, index + 1).squeeze(-1) for numbers in bins)
    return [x_0, y_0, x_1 - x_0, y_1 - y_0, d_0, d_1]


def _log_slope(s: Tensor, xi: Tensor, both: Tensor, below: Tensor, d_0: Tensor, d_1: Tensor) -> Tensor:
    """The log-derivative ln dy/dx (...), from a bin's numbers, xi (1 - xi) and the denominator of y."""
    above = d_1 * xi.square() + 2 * s * both + d_0 * (1 - xi).square()
    return 2 * (s.log() - below.log()) + above.log()
