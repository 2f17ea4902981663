"""Print the table of docs/posteriordb.md: every posterior of posteriordb against its reference draws.

``NFBENCH_DATA=DIR python benchmarks/posteriordb_stein.py``; a few minutes of one core.
"""

import math

import torch

from nfbench.targets.build import target
from nfbench.targets.posteriordb.model import MODELS
from nfbench.targets.posteriordb.target import CHAINS
from nfbench.verification.stein import stein

print("| posterior | D | ln Z | mean ln p | KL(p‖Gaussian) | largest z, first | largest z, second |")
print("|---|---:|---:|---:|---:|---:|---:|")
for model in MODELS:
    density = target(f"posteriordb:{model.name}")
    draws = density.reference()
    mean = float(density.log_joint(draws).mean())
    result = stein(density, draws, CHAINS)
    log_z, divergence = "", ""
    if density.log_z is not None:
        # KL from p to the Gaussian with the draws' mean and covariance: that one's entropy minus p's.
        entropy = 0.5 * float(torch.logdet(2 * math.pi * math.e * torch.cov(draws.T)))
        log_z, divergence = f"{density.log_z:.3f}", f"{entropy - (density.log_z - mean):.2f}"
    numbers = f"{density.dim} | {log_z} | {mean:.3f} | {divergence} | {result.worst:.2f} | {result.worst_second:.2f}"
    print(f"| {model.name} | {numbers} |", flush=True)
