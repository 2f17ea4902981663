"""Logarithms of the densities that the models are made of, with their constants; (...) -> (...), in nats."""

import math

import torch
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI

Number = Tensor | float


def normal(x: Tensor, mean: Number, sd: Number) -> Tensor:
    """N(x; mean, sd), with the standard deviation.

    >>> round(float(normal(torch.tensor(0.0), 0.0, 2.0)), 4)
    -1.6121

    Args:
        x: (...).
        mean: a number, or (...).
        sd: a number, or (...).

    Returns:
        (...).
    """
    scale = sd if isinstance(sd, Tensor) else x.new_tensor(sd)
    value: Tensor = -0.5 * ((x - mean) / scale).square() - scale.log() - 0.5 * LOG_2PI
    return value


def lognormal(x: Tensor, mean: Number, sd: Number) -> Tensor:
    """The density of x > 0 where ln x is N(mean, sd).

    Args:
        x: (...), positive.
        mean: of ln x.
        sd: of ln x.

    Returns:
        (...).
    """
    return normal(x.log(), mean, sd) - x.log()


def cauchy(x: Tensor, scale: float) -> Tensor:
    """Cauchy's density around 0, on all of R: a half-Cauchy prior is without its 2, as Stan leaves it out.

    Args:
        x: (...).
        scale: half the width at half the height.

    Returns:
        (...).
    """
    return -math.log(math.pi * scale) - torch.log1p((x / scale).square())


def student(x: Tensor, nu: float, middle: float, scale: float) -> Tensor:
    """Student's t density.

    Args:
        x: (...).
        nu: degrees of freedom.
        middle: where it is symmetric.
        scale: its width.

    Returns:
        (...).
    """
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi) - math.log(scale)
    return constant - (nu + 1) / 2 * torch.log1p(((x - middle) / scale).square() / nu)


def gamma(x: Tensor, shape: float, rate: float) -> Tensor:
    """The gamma density.

    Args:
        x: (...), positive.
        shape: exponent of x, plus one.
        rate: of the exponential.

    Returns:
        (...).
    """
    return shape * math.log(rate) - math.lgamma(shape) + (shape - 1) * x.log() - rate * x


def dirichlet(x: Tensor, alpha: Tensor) -> Tensor:
    """Dirichlet's density, with respect to all entries but the last; of two entries it is a beta density.

    Args:
        x: (..., n), on the simplex.
        alpha: (n,).

    Returns:
        (...).
    """
    constant = alpha.sum().lgamma() - alpha.lgamma().sum()
    value: Tensor = constant + ((alpha - 1) * x.log()).sum(-1)
    return value
