"""Kernels give the same bits in a process that compiles them and in one that loads them from numba's cache."""

import os
import subprocess
import sys

SCRIPT = """
import hashlib
import torch
from nfbench.kernels.planar import cpu as planar_cpu; from nfbench.kernels.radial import cpu as radial_cpu

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
for kernel, width in ((planar_cpu, 17), (radial_cpu, 10)):
    for points, draws in ((6, 1), (3, 4), (2, 64)):
        z, grad = (torch.randn(points, draws, 8, generator=generator) for _ in range(2))
        maps = 0.3 * torch.randn(points, 5, width, generator=generator)
        out, log_det, kept = kernel.forward(z, maps)
        grads = kernel.backward(out, kept, maps, grad, grad.sum(-1), z)
        for value in (out, log_det, kept, *grads):
            print(hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest())
"""


def test_compiled_and_cached_kernels_round_alike(tmp_path):
    """The first process finds no cache and compiles, the second loads: outputs and gradients are the same bits."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    first, second = (
        subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc"))
    assert len(first.stdout.split()) == 30
    assert first.stdout == second.stdout
