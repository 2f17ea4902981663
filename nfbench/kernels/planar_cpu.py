"""Planar chains on the CPU. Contract: `operators.fused`."""

from nfbench.kernels import planar_dimensions, planar_draws, planar_points
from nfbench.kernels.cpu import Chain

_chain = Chain(planar_draws, planar_dimensions, planar_points)
forward, backward, draw, undraw = _chain.forward, _chain.backward, _chain.draw, _chain.undraw
