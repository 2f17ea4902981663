"""Radial chains on the CPU. Contract: `operators.fused`."""

from nfbench.kernels import radial_dimensions, radial_draws, radial_points
from nfbench.kernels.cpu import Chain

_chain = Chain(radial_draws, radial_dimensions, radial_points)
forward, backward, draw, undraw = _chain.forward, _chain.backward, _chain.draw, _chain.undraw
