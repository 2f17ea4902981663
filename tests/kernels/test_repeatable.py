"""Kernels give the same bits whether a process compiles them or loads them, and wherever their arrays lie in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from support.guarded_loops import guarded_sums
from support.kernel_entries import ENTRIES

from nfbench.kernels.compiler.decorators import FLAGS

_OF_CHAIN = [(draws, points) for draws in (1, 4, 64) for points in (1, 6)]
_OF_ROWS = [(rows, biases) for rows in (1, 3) for biases in (1, 3)]
# entry -> the shapes of its arguments, for as many calls as it has forms of its loops
CALLS = {
    "planar chain": [[(draws, 6, 8), (rows, 5, 17)] for draws, rows in _OF_CHAIN],
    "radial chain": [[(draws, 6, 8), (rows, 5, 10)] for draws, rows in _OF_CHAIN],
    "planar draw": [[(draws, 6, 8), (rows, 16), (rows, 85)] for draws, rows in _OF_CHAIN],
    "radial draw": [[(draws, 6, 8), (rows, 16), (rows, 50)] for draws, rows in _OF_CHAIN],
    "diagonal": [[(draws, 6, 8), (rows, 16)] for draws, rows in _OF_CHAIN],
    "coupling": [[(64, 3, 6), (2, 6, 6), (2, 3, 4), (rows, 2, 4), (2, 4, 3), (2, 3)] for rows in (1, 3)],
    "network": [[(64, 3, 6), (6, 5), (rows, 5), (5, 4), (biases, 4)] for rows, biases in _OF_ROWS],
    "affine": [[(64, 3, 6), (3, 5), (rows, 5), (5, 6), (biases, 6)] for rows, biases in _OF_ROWS],
    "gated": [[(64, 3, 6), (3, 5), (rows, 5), (5, 6), (biases, 6)] for rows, biases in _OF_ROWS],
    "spline": [[(64, 3, 4), (64, 3, 44)]],
    "integral": [[(64, 3, 2), (64, 3, 2, 7), (7,), (7,), (7,), (1,)]],
    "mixture": [[(64, 3, 4), (rows, 3), (rows, 3, 4), (rows, 3, 4)] for rows in (1, 3)],
    "likelihood": [[(draws, 3, 9), (3, 9)] for draws in (1, 64)],
    "maxout": [[(64, 9), (16, 9), (16,)]],
}
SCRIPT = """
import hashlib, json, sys
import torch
from support import guarded_loops
from support.kernel_entries import ENTRIES, results

torch.set_num_threads(1)
for name, calls in json.loads(sys.argv[1]).items():
    for shapes in calls:
        for value in results(ENTRIES[name], [tuple(shape) for shape in shapes], torch.float32):
            print(name, hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest())
print(json.dumps(guarded_loops.of_package()), file=sys.stderr)
"""


def test_compiled_and_cached_kernels_round_alike_and_sum_up_in_one_order(tmp_path):
    """A process that compiles and one that loads have the same bits; of no sum are there two forms."""
    tests = Path(__file__).parents[1]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tests)}
    command = [sys.executable, "-c", SCRIPT, json.dumps(CALLS)]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc"))
    assert {line.rpartition(" ")[0] for line in first.stdout.splitlines()} == set(ENTRIES)
    assert first.stdout == second.stdout
    looked_at = json.loads(first.stderr.splitlines()[-1])
    assert len(looked_at) > 100
    assert {name: blocks for name, blocks in looked_at.items() if blocks} == {}


def _together(out, a, b):
    total = 0.0
    for d in range(len(out)):
        out[d] = a[d] - b[d]
        total += out[d] * a[d]
    return total


def _apart(out, a, b):
    total = 0.0
    for d in range(len(out)):
        out[d] = a[d] - b[d]
    for d in range(len(out)):
        total += out[d] * a[d]
    return total


@pytest.mark.parametrize(("function", "two_forms"), [(_together, True), (_apart, False)])
def test_a_sum_with_two_forms_is_seen(function, two_forms):
    """A loop that writes and sums up has a form for arrays that may overlap; one that only reads has not."""
    compiled = numba.njit("f8(f8[::1], f8[::1], f8[::1])", fastmath=FLAGS, error_model="numpy")(function)
    (code,) = compiled.inspect_llvm().values()
    assert "vector.memcheck" in code
    assert bool(guarded_sums(code)) == two_forms
