"""Print the table of docs/posteriordb.md: every posterior of posteriordb against its reference draws.

``NFBENCH_DATA=DIR python benchmarks/posteriordb_stein.py``; a few minutes of one core.
"""

from nfbench.targets.build import target
from nfbench.targets.posteriordb.model import MODELS
from nfbench.targets.posteriordb.target import CHAINS
from nfbench.verification.stein import stein

print("| posterior | D | ln Z | mean ln p | largest z, first | largest z, second |")
print("|---|---:|---:|---:|---:|---:|")
for model in MODELS:
    density = target(f"posteriordb:{model.name}")
    draws = density.reference()
    mean = float(density.log_joint(draws).mean())
    found = stein(density, draws, CHAINS)
    log_z = "" if density.log_z is None else f"{density.log_z:.3f}"
    print(
        f"| {model.name} | {density.dim} | {log_z} | {mean:.3f} | {found.worst:.2f} | {found.worst_second:.2f} |",
        flush=True,
    )
