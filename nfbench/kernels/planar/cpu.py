"""Planar chains on the CPU: the functions that `chain.operators.fused` looks for."""

from nfbench.kernels.chain.cpu import Chain
from nfbench.kernels.planar import cpu_dimensions, cpu_draws, cpu_points

_chain = Chain(cpu_draws, cpu_dimensions, cpu_points)
forward, backward = _chain.forward, _chain.backward
draw, draw_backward = _chain.draw, _chain.draw_backward
RESTARTS = _chain.restarts  # whether `backward` takes z_0
