"""Radial chains on the CPU. Contract: `operators.fused`."""

from nfbench.kernels import radial_loops, radial_points
from nfbench.kernels.cpu import Chain

_chain = Chain(radial_loops, radial_points)
forward, backward = _chain.forward, _chain.backward
