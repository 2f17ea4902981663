"""Radial chains on the CPU. Contract: `operators.fused`."""

from nfbench.kernels.chain.cpu import Chain
from nfbench.kernels.radial import cpu_dimensions, cpu_draws, cpu_points

_chain = Chain(cpu_draws, cpu_dimensions, cpu_points)
forward, backward, draw, undraw = _chain.forward, _chain.backward, _chain.draw, _chain.undraw
