"""Density images: a two-dimensional posterior and its target on a grid, stored so that plots need no model."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nfbench.posteriors.contract import Flow
from nfbench.specification.config import Evaluation
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.training.objective import Inference

HALF_WIDTH = 4.0  # the paper's (-4, 4)^2
Arrays = dict[str, NDArray[np.generic]]
LogDensity = Callable[[Tensor], Tensor]


def drawable(target: Target) -> bool:
    """Whether a target's posterior is one density on the plane, of which there is an image.

    Args:
        target: any target.

    Returns:
        True for a target without data and with D = 2.
    """
    return target.dim == 2 and not isinstance(target, LatentVariableModel)


def of_model(model: Inference, config: Evaluation) -> Arrays:
    """Evaluate the densities of a posterior and of its target on the grid.

    Args:
        model: target and posterior, with D = 2.
        config: `grid` is G, the cells along each axis.

    Returns:
        `q` and `p`, bytes of shape (G, G), where density = byte / 255 * maximum; the maxima `q_max` and `p_max`; and
        `half_width` of the square. The target is normalised on the plane or, if improper, on its box.
    """
    target = model.target
    log_z = target.box.log_z if target.box is not None else target.log_z or 0.0
    return _pack(model.posterior.log_prob, lambda z: target.log_joint(z) - log_z, config, next(model.parameters()))


def of_flow(flow: Flow, base: Target, theta: Tensor, config: Evaluation) -> Arrays:
    """Evaluate a density before and after the maps of a flow on the grid.

    Args:
        flow: the chain of maps, with an inverse and D = 2.
        base: the density before the maps.
        theta: parameters of the maps, shape (1, P).
        config: `grid` is G, the cells along each axis.

    Returns:
        The arrays of `of_model`, with `p` before the maps and `q` after them.
    """

    def before(z: Tensor) -> Tensor:
        return base.log_joint(z) - (base.log_z or 0.0)

    def after(z: Tensor) -> Tensor:
        z_0, log_det = flow.inverse(z, theta)
        return before(z_0) + log_det

    return _pack(after, before, config, theta)


def grid(config: Evaluation, like: Tensor) -> Tensor:
    """The centres of the grid's cells on the square (-4, 4)^2.

    Args:
        config: `grid` is G, the cells along each axis.
        like: a tensor that gives dtype and device.

    Returns:
        Points of shape (G * G, 1, 2), row by row: z2 ascending from row to row, z1 ascending within each.
    """
    step = 2 * HALF_WIDTH / config.grid
    axis = -HALF_WIDTH + step * (torch.arange(config.grid, dtype=like.dtype, device=like.device) + 0.5)
    z2, z1 = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([z1, z2], -1).reshape(-1, 1, 2)


def _pack(log_q: LogDensity, log_p: LogDensity, config: Evaluation, like: Tensor) -> Arrays:
    """Both densities as bytes with their maxima: value = byte / 255 * maximum."""
    arrays: Arrays = {"half_width": np.array(HALF_WIDTH)}
    with torch.no_grad():
        for name, log_density in (("q", log_q), ("p", log_p)):
            values = log_density(grid(config, like)).exp().reshape(config.grid, config.grid)
            top = float(values.max())
            scaled = values * (255 / top) if top > 0 else values
            arrays[name] = scaled.round().to(torch.uint8).cpu().numpy()
            arrays[f"{name}_max"] = np.array(top)
    return arrays
