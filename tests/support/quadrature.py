"""Integrals over the plane, and the densities of targets and posteriors that tests integrate."""

import math

import numpy as np
import torch


def cell_integrals(function, half_width, width=0.5, nodes=16):
    """Integrals of `function` (..., 2) -> (...) over the cells of [-a, a]^2, Gauss-Legendre in each, (cells, cells)."""
    x, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(nodes))
    cells = round(2 * half_width / width)
    centres = -half_width + width * (torch.arange(cells, dtype=torch.float64) + 0.5)
    axis = (centres[:, None] + 0.5 * width * x).flatten()
    values = function(torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)).reshape(cells, nodes, cells, nodes)
    return torch.einsum("anbm,n,m->ab", values, weights, weights) * (0.5 * width) ** 2


def polar_integral(function):
    """Integral over the plane for what is smooth in polar coordinates only, as U1 is at the origin."""
    x, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(400))
    radius, angle = 8 * (1 + x), torch.arange(800, dtype=torch.float64) * (2 * math.pi / 800)
    z = radius[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
    return torch.einsum("ra,r->", function(z), 8 * weights * radius) * (2 * math.pi / 800)


def raw_density(t):
    return lambda z: t.log_joint(z).exp()


def density(t):
    """The unnormalised density, truncated to the box where the target is improper."""
    return lambda z: t.log_joint(z).exp() * (1 if t.box is None else t.box.contains(z))


def exact_log_z(t):
    return t.log_z if t.box is None else t.box.log_z


def free_energy_density(t, mean=(0.0, 0.0), scale=(1.0, 1.0)):
    """What integrates to F = E_q[ln q - log_joint], q a diagonal Gaussian."""
    mean, scale = torch.tensor([mean, scale], dtype=torch.float64)
    q = torch.distributions.Independent(torch.distributions.Normal(mean, scale), 1)
    return lambda z: q.log_prob(z).exp() * (q.log_prob(z) - t.log_joint(z))
