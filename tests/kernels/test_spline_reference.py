"""Rational-quadratic splines: values computed by hand twice, the identity, tails, inverses and gradients everywhere."""

import math

import pytest
import torch
from support.families import normal

from nfbench.kernels.layers.spline_reference import LEAST, UNIT_SLOPE, Bins, bins_of, spline, spline_inverse

EXAMPLE = Bins(
    torch.tensor([-2, -1, 1, 2], dtype=torch.float64),  # widths 1, 2, 1
    torch.tensor([-2, -1.5, -0.5, 2], dtype=torch.float64),  # heights 1/2, 1, 5/2
    torch.tensor([1, 0.5, 2, 1], dtype=torch.float64),
)


def wild_bins(num, *, scale=2.0, dtype=torch.float64):
    """A spline of eight bins on [-3, 3] for each of `num` numbers."""
    return bins_of(scale * normal(num, 23, seed=1).to(dtype), 3.0)


@pytest.mark.parametrize(
    ("x", "y", "log_slope"),
    [(-1.5, -1.7, -0.9162907319), (0.0, -1.214285714, -1.252762969), (1.25, 0.125, 1.078809661)],
)
def test_values_of_the_worked_example(x, y, log_slope):
    """In each of three bins: y, ln dy/dx, and back to x."""
    found, slope = spline(torch.tensor(x, dtype=torch.float64), EXAMPLE)
    assert found.item() == pytest.approx(y, abs=1e-9)
    assert slope.item() == pytest.approx(log_slope, abs=1e-9)
    back, minus = spline_inverse(found, EXAMPLE)
    assert back.item() == pytest.approx(x, abs=1e-14)
    assert minus.item() == pytest.approx(-log_slope, abs=1e-9)


def test_widths_of_the_worked_example():
    """Raw widths (0, 1, -1) in the box [-3, 3], with the least width of a thousandth of it."""
    raw = torch.tensor([0, 1, -1, 0, 0, 0, 0, 0], dtype=torch.float64)
    assert bins_of(raw, 3.0).x.diff().tolist() == pytest.approx([1.469965714, 3.985471397, 0.5445628887], abs=1e-9)


def test_zeros_are_the_identity():
    """Raw numbers of zero give slopes of one, whose raw value is ln(e^(1 - 1e-3) - 1), and y = x."""
    assert pytest.approx(0.5397424172, abs=1e-10) == UNIT_SLOPE
    x = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    bins = bins_of(torch.zeros(1001, 23, dtype=torch.float64), 5.0)
    assert (bins.slopes - 1).abs().max() < 1e-15
    y, log_slope = spline(x, bins)
    assert (y - x).abs().max() < 1e-14
    assert log_slope.abs().max() < 1e-14


@pytest.mark.parametrize("apply", [spline, spline_inverse])
def test_tails_are_the_identity_and_join_smoothly(apply):
    """At the box's ends and outside y = x, and a hair inside the slope is still 1: both ways."""
    for at in (-1e6, -3.5, -3.0, 3.0, 3.5, 1e6):
        y, log_slope = apply(torch.full((5,), at, dtype=torch.float64), wild_bins(5))
        assert y.tolist() == [at] * 5
        assert log_slope.tolist() == [0.0] * 5
    for at in (-3 + 1e-9, 3 - 1e-9):
        y, log_slope = apply(torch.full((5,), at, dtype=torch.float64), wild_bins(5))
        assert (y - at).abs().max() < 1e-8
        assert log_slope.abs().max() < 1e-3


def test_the_slope_is_the_derivative_and_the_inverse_undoes():
    """In every bin ln dy/dx agrees with autograd's, and the inverse returns to x with the opposite sign."""
    x = torch.linspace(-3.2, 3.2, 4001, dtype=torch.float64).requires_grad_()
    bins = wild_bins(4001)
    y, log_slope = spline(x, bins)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert (slope.log() - log_slope).abs().max() < 1e-10
    back, minus = spline_inverse(y, bins)
    assert (back - x).abs().max() < 1e-10
    assert (minus + log_slope).abs().max() < 1e-8


@pytest.mark.parametrize("apply", [spline, spline_inverse])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_outside_the_box(apply, dtype):
    """Far outside, at the ends and at knots, no gradient is NaN: the branch not taken has none."""
    raw = (20 * normal(7, 23, seed=2)).to(dtype).requires_grad_()
    x = torch.tensor([-1e30, -7.0, -3.0, 0.0, 3.0, 7.0, 1e30], dtype=dtype).requires_grad_()
    y, log_slope = apply(x, bins_of(raw, 3.0))
    (y.clamp(-9, 9).sum() + log_slope.sum()).backward()
    assert x.grad.isfinite().all()
    assert raw.grad.isfinite().all()


def test_float32_inverts_extreme_splines():
    """In float32 steep and flat bins invert: a discriminant below 0 by rounding counts as 0."""
    bins = wild_bins(20_000, scale=20.0, dtype=torch.float32)
    x = 6 * torch.rand(20_000, generator=torch.Generator().manual_seed(3)) - 3
    y, _ = spline(x, bins)
    back, _ = spline_inverse(y, bins)
    assert back.isfinite().all()
    assert (spline(back, bins)[0] - y).abs().max() < 1e-3
    assert (bins.slopes >= LEAST * (1 - 1e-6)).all()
    assert math.isclose(float(bins.x.diff().min()), 6 * LEAST, rel_tol=1e-2)
