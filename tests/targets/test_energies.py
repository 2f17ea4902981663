"""The energies of the paper's Table 1 and the densities of its Figure 1, number by number."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from support.quadrature import cell_integrals, free_energy_density, polar_integral, raw_density

from nfbench.foundation.randomness import stream
from nfbench.targets.build import target

ENERGIES = ("u1", "u2:walls=none", "u3:walls=none", "u4:walls=none")


POINTS = {
    (0.0, 0.0): (17.36240837, 0, -0.09701079, -0.67159228),
    (2.0, 0.0): (0, 0, -0.09701079, 0),
    (-2.0, 0.0): (0, 0, -0.69314718, -0.69314714),
    (1.0, 1.0): (2.46120441, 0, 0, -0.0001027),
    (1.0, -2.0): (1.56302422, 28.125, 0, 9.18367346),
    (1.0, 0.0): (4.51387394, 3.125, 4.08162784, 0.90538857),
    (-1.5, 0.7): (0.71854047, 6.18734217, 7.39120218, 6.04826313),
    (4.0, 4.0): (47.34487744, 50, 64.61315778, 50),
}


@pytest.mark.parametrize("walls", ["gaussian", "none"])
@pytest.mark.parametrize("point", POINTS)
def test_energies_at_points(point, walls):
    """U1 to U4 at eight points are what Table 1 gives, to the digits written here, with walls and without."""
    z = torch.tensor(point, dtype=torch.float64)
    names = ["u1", *(f"u{i}:walls={walls}" for i in (2, 3, 4))]
    energies = [-target(name).log_joint(z).item() for name in names]
    # Values given as 0 stand for less than 2.5e-8: the other branch's tail at (2, 0) is 1.6e-8.
    assert energies == pytest.approx(POINTS[point], abs=2.5e-8)


BOXES = {
    3: (1.876629, 1.79440721, 2.35396195, 2.34779559),
    4: (1.8775016, 2.08208934, 2.64170513, 2.68456767),
    5: (1.8775016, 2.30523289, 2.86484868, 2.93379172),
    6: (1.8775016, 2.48755445, 3.04717024, 3.11616311),
    8: (1.8775016, 2.77523652, 3.33485231, 3.40384518),
    12: (1.8775016, 3.18070163, 3.74031742, 3.80931029),
}


@pytest.mark.parametrize("half_width", BOXES)
def test_integrals_over_boxes(half_width):
    """The tabulated ln Z over [-a, a]^2 hold to their digits: the raw energies have the right mass everywhere."""
    found = [math.log(cell_integrals(raw_density(target(name)), half_width).sum()) for name in ENERGIES]
    assert found[0] == pytest.approx(BOXES[half_width][0], abs=6e-7)
    assert found[1:] == pytest.approx(BOXES[half_width][1:], abs=1e-8)


def test_stated_constants():
    """The constants that evaluation uses are the tabulated ones: ln Z1, ln Z of the boxes, ln Z with walls."""
    polar = math.log(polar_integral(raw_density(target("u1"))))
    assert target("u1").log_z == pytest.approx(1.8775016261097, abs=1e-13)
    assert target("u1").log_z == pytest.approx(polar, abs=1e-12)
    walled = math.log(8 + 0.25 * math.sqrt(2 * math.pi))
    for name, mass, in_box in (("u2", 0.4, 2.08208934), ("u3", 0.7, 2.64170513), ("u4", 0.75, 2.68456767)):
        assert target(name).log_z == pytest.approx(math.log(mass * math.sqrt(2 * math.pi)) + walled, abs=1e-14)
        assert target(name).box is None
        raw = target(f"{name}:walls=none")
        assert raw.log_z is None
        assert raw.box.half_width == 4
        assert raw.box.log_z == pytest.approx(in_box, abs=6e-9)


def test_free_energy_of_the_standard_normal():
    """F(N(0, I)) by quadrature is the tabulated value for U2 to U4, and the normal's own is 0."""
    found = [polar_integral(free_energy_density(target(name))).item() for name in (*ENERGIES[1:], "normal")]
    assert found == pytest.approx([1.8383856158, 1.0499476601, 0.5573732391, 0.0], abs=1e-9)


def test_free_energy_of_the_standard_normal_on_u1():
    """F(N(0, I)) of U1 splits into the ring's exact moments of |z| and one integral over z1, and so it comes out."""
    ring = (2 - 4 * math.sqrt(math.pi / 2) + 4) / 0.32

    def integrand(x):
        return stats.norm.pdf(x) * np.logaddexp(-((x - 2) ** 2) / 0.72, -((x + 2) ** 2) / 0.72)

    crescents, _ = integrate.quad(integrand, 0, 20, points=(0.2, 1, 4), epsabs=1e-13)
    exact = ring - 2 * crescents - math.log(2 * math.pi * math.e)
    assert exact == pytest.approx(2.6989250789, abs=1e-10)
    assert polar_integral(free_energy_density(target("u1"))).item() == pytest.approx(exact, abs=1e-11)


def test_free_energy_of_a_diagonal_gaussian_on_u2():
    """For a diagonal Gaussian F(U2) has a closed form; quadrature of our energy and the tabulated number agree."""
    (m1, m2), (s1, s2) = mean, scale = (0.3, -0.2), (1.5, 0.6)
    cross = 2 * m2 * math.sin(math.pi * m1 / 2) * math.exp(-(math.pi**2) * s1**2 / 8)
    square = 0.5 * (1 - math.cos(math.pi * m1) * math.exp(-(math.pi**2) * s1**2 / 2))
    formula = (s2**2 + m2**2 - cross + square) / 0.32 - math.log(2 * math.pi * math.e * s1 * s2)
    assert formula == pytest.approx(0.1153229809, abs=1e-10)
    integrals = cell_integrals(free_energy_density(target("u2:walls=none"), mean, scale), 15.0)
    assert integrals.sum().item() == pytest.approx(formula, abs=1e-9)


def has_mean(values, expected):
    standard_error = values.std(0) / len(values) ** 0.5
    return ((values.mean(0) - torch.tensor(expected, dtype=torch.float64)).abs() < 5 * standard_error).all()


def test_moments_of_u1():
    """Draws of p1 have the tabulated moments within 5 standard errors."""
    z = target("u1").sample(200_000, stream(5, "moments")).double()
    values = torch.cat([z.square(), z.norm(dim=-1, keepdim=True), z[:, :1].abs(), z], -1)
    assert has_mean(values, (3.3035016, 1.3952778, 2.1389771, 1.7653060, 0, 0))
    entropy = target("u1").log_z - target("u1").log_joint(z).unsqueeze(-1)
    assert has_mean(entropy, (2.6600125,))


@pytest.mark.parametrize(
    ("name", "mean", "deviation", "entropy"),
    [
        ("u2", (0, 0), (2.309401, 0.812404), 2.582089),
        ("u3", (0, -0.281996), (2.309401, 0.882864), 2.626707),
        ("u4", (-0.079688, -0.426602), (2.285937, 1.297660), 2.766181),
    ],
)
def test_moments_in_the_box(name, mean, deviation, entropy):
    """Draws of the raw energies truncated to the box have the tabulated moments and entropy, and none lies outside."""
    raw = target(f"{name}:walls=none")
    z = raw.sample(200_000, stream(6, "moments")).double()
    assert raw.box.contains(z).all()
    squares = [m**2 + d**2 for m, d in zip(mean, deviation, strict=True)]
    assert has_mean(torch.cat([z, z.square()], -1), (*mean, *squares))
    assert has_mean(raw.box.log_z - raw.log_joint(z).unsqueeze(-1), (entropy,))


@pytest.mark.parametrize("name", ["u2", "u3", "u4"])
def test_walls_change_nothing_inside(name):
    """Walls leave |z1| <= 4 exactly alone, are quadratic beyond, and join without a step in value or slope."""
    walled, raw = target(name), target(f"{name}:walls=none")
    z = 8 * torch.rand(2_000, 2, generator=stream(7, "walls"), dtype=torch.float64) - 4
    assert torch.equal(walled.log_joint(z), raw.log_joint(z))
    out = torch.tensor([[-5.5, 0.2], [4.25, -1.0], [6.0, 3.0]], dtype=torch.float64)
    wall = (out[:, 0].abs() - 4).square() / (2 * 0.25**2)
    torch.testing.assert_close(walled.log_joint(out), raw.log_joint(out) - wall, rtol=1e-14, atol=0)
    edge = torch.tensor([[4.0, 0.5], [4.0 + 1e-9, 0.5]], dtype=torch.float64, requires_grad=True)
    log_p = walled.log_joint(edge)
    (slope,) = torch.autograd.grad(log_p.sum(), edge)
    assert abs(log_p[1] - log_p[0]) < 1e-7
    assert (slope[1] - slope[0]).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["u2", "u3", "u4"])
def test_share_of_draws_in_the_walls(name):
    """Beyond |z1| = 4 lie w/(8 + w) of the draws, w = 0.25 sqrt(2 pi), within 5 standard errors, half on a side."""
    num, wall = 100_000, 0.25 * math.sqrt(2 * math.pi)
    z1 = target(name).sample(num, stream(8, "walls"))[:, 0].double()
    share = wall / (8 + wall)
    for beyond, expected in ((z1.abs() > 4, share), (z1 > 4, share / 2)):
        assert abs(beyond.double().mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / num)
    depth = z1.abs()[z1.abs() > 4].unsqueeze(-1) - 4
    assert has_mean(torch.cat([depth, depth.square()], -1), (0.25 * math.sqrt(2 / math.pi), 0.25**2))


def test_normal_and_uniform():
    """The bases of Figure 1: the normal has its constant in every dimension, the uniform is -inf outside its square."""
    z = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    exact = sum(stats.norm.logpdf(x) for x in (0.5, -1.0, 2.0))
    assert target("normal:dim=3").log_joint(z).item() == pytest.approx(exact, abs=1e-14)
    square = target("uniform:half_width=1.5")
    assert square.log_joint(torch.tensor([[1.5, -1.5], [1.6, 0.0], [0.0, -9.0]])).tolist() == [0, -math.inf, -math.inf]
    assert square.log_z == pytest.approx(math.log(9), abs=1e-15)
