"""Reference draws of a density with one mode that is nearly Gaussian: importance resampling from a Student-t around it.

The proposal begins at the mode with the curvature there, and takes the weighted moments of its own draws twice. Of many
draws a few are kept, each with the probability of its weight (Rubin 1987), so that they follow the density as far as
the proposal covers it: its tails are heavier.
"""

import torch
from torch import Tensor

from nfbench.targets.contract import Target

_NU = 20.0  # degrees of freedom of the proposal
_STEPS = 50  # of Newton's method
_CLOSE = 1e-9  # a step that ends it
_LARGEST_STEP = 2.0  # of a coordinate


def resampled(target: Target, num: int, proposals: int, generator: torch.Generator) -> Tensor:
    """Draw from a density with one mode.

    Args:
        target: a density with a concave logarithm near its mode, and one mode only.
        num: how many draws are kept.
        proposals: how many are made.
        generator: of random numbers, on the CPU.

    Returns:
        (num, D), in float64.

    >>> from nfbench.targets.build import target
    >>> draws = resampled(target("correlated"), 2000, 20_000, torch.Generator().manual_seed(0))
    >>> draws.shape, bool((draws.mean(0).abs() < 0.2).all())
    (torch.Size([2000, 2]), True)
    """
    middle = _mode(target)
    scale = torch.linalg.cholesky(torch.linalg.inv(_curvature(target, middle)))
    for _ in range(2):
        z, log_weight = _proposed(target, middle, scale, proposals // 4, generator)
        weight = torch.softmax(log_weight, 0)
        middle = weight @ z
        scale = torch.linalg.cholesky(((z - middle) * weight[:, None]).T @ (z - middle))
    z, log_weight = _proposed(target, middle, scale, proposals, generator)
    return z[torch.multinomial(torch.softmax(log_weight, 0), num, generator=generator)]


def _mode(target: Target) -> Tensor:
    """The mode (D,), by Newton's method with bounded steps from 0."""
    z = torch.zeros(target.dim, dtype=torch.float64)
    for _ in range(_STEPS):
        slope = torch.autograd.functional.jacobian(target.log_joint, z)  # type: ignore[no-untyped-call]
        step = torch.linalg.solve(_curvature(target, z), slope)
        largest = float(step.abs().max())
        if largest < _CLOSE:
            break
        z = z + step * min(1.0, _LARGEST_STEP / largest)
    return z


def _curvature(target: Target, z: Tensor) -> Tensor:
    """Minus the second derivatives of ln p at `z (D,)`, (D, D)."""
    second: Tensor = torch.autograd.functional.hessian(target.log_joint, z)  # type: ignore[no-untyped-call]
    return -second


def _proposed(
    target: Target, middle: Tensor, scale: Tensor, num: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws (num, D) of a Student-t distribution, and their ln weights (num,) up to a constant."""
    noise = torch.randn(num, target.dim, generator=generator, dtype=torch.float64)
    chi_square = torch.randn(num, int(_NU), generator=generator, dtype=torch.float64).square().sum(-1)
    noise = noise * (_NU / chi_square).sqrt()[:, None]
    z = middle + noise @ scale.T
    log_q = -(_NU + target.dim) / 2 * torch.log1p(noise.square().sum(-1) / _NU)
    with torch.no_grad():
        log_p = torch.cat([target.log_joint(part) for part in torch.split(z, max(1, 2**20 // target.dim))])
    return z, log_p - log_q
