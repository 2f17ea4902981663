"""Random sizes for every kernel's public entry: those that fit equal plain PyTorch, all others are an `InputError`.

With ``NUMBA_BOUNDSCHECK=1``, as CI runs this file once, every index of every compiled loop is checked as well; in
float32 alone, whose vectors are the longest, as compiling takes most of the time.
"""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numba.core import config
from support.kernel_entries import ENTRIES, POINTS, results

from nfbench import InputError
from nfbench.foundation.settings import BACKEND_VARIABLE

EACH = 128  # random calls of each entry that fit, and as many that do not: more than 1,000 of both together
EVERY = pytest.mark.parametrize("name", ENTRIES)
RANDOM = settings(
    max_examples=EACH,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32] if config.BOUNDSCHECK else [torch.float32, torch.float64])
def test_what_fits_equals_plain_pytorch(name, dtype, monkeypatch):
    """Values and gradients of random sizes that fit are those of plain PyTorch."""
    entry = ENTRIES[name]
    close = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 2e-4}

    @RANDOM
    @given(st.data())
    def check(data):
        shapes = data.draw(st.composite(entry.shapes)())
        assert entry.fits(*shapes)
        monkeypatch.setenv(BACKEND_VARIABLE, "auto")
        ours = results(entry, shapes, dtype)
        monkeypatch.setenv(BACKEND_VARIABLE, "reference")
        for mine, plain in zip(ours, results(entry, shapes, dtype), strict=True):
            torch.testing.assert_close(mine, plain, **close)

    check()


@EVERY
def test_what_does_not_fit_is_refused(name):
    """Random sizes with one to three changed at random, or an axis more or less, are an `InputError` of one line."""
    entry = ENTRIES[name]

    @RANDOM
    @given(st.data())
    def check(data):
        shapes = [list(shape) for shape in data.draw(st.composite(entry.shapes)())]
        axes = [len(shape) for shape in shapes]
        for _ in range(data.draw(st.integers(1, 3))):
            shape = data.draw(st.sampled_from([shape for shape in shapes if shape]))
            at = data.draw(st.integers(0, len(shape) - 1))
            change = data.draw(st.sampled_from(["more", "less", "other", "drop", "add"]))
            if change == "drop":
                del shape[at]
            elif change == "add":
                shape.insert(at, data.draw(st.integers(1, 3)))
            else:
                shape[at] = {"more": shape[at] + 1, "less": max(0, shape[at] - 1), "other": data.draw(POINTS)}[change]
        changed = [tuple(shape) for shape in shapes]
        same = axes == [len(shape) for shape in changed]
        assume(not (same and entry.fits(*changed)))
        assume(name != "likelihood" or len(changed[0]) != 2)  # logits (B, I) are welcome too
        with pytest.raises(InputError) as caught:
            results(entry, changed, torch.float64)
        assert "\n" not in str(caught.value)

    check()


SCRIPT = """
import numpy as np
from nfbench.kernels.compiler.decorators import compiled
from nfbench.kernels.simd.vector import narrow, store
load, width = narrow.load, narrow.width

@compiled
def copy(source, at, target, to, count):
    store(target, to, count, load(source, at, count))

numbers = np.arange(20.0)
for at, to, count in ((0, 0, 4), (16, 16, 4), (18, 17, 2), (40, 40, 0), (17, 0, 4), (0, 17, 4), (-1, 0, 1), (0, 20, 1)):
    try:
        copy(numbers, at, np.zeros(20), to, count)
        print("passed", end=" ")
    except IndexError:
        print("refused", end=" ")
"""


def test_the_bounds_of_vectors_are_checked():
    """Under ``NUMBA_BOUNDSCHECK=1`` a vector that reaches beyond its array by one number is an IndexError."""
    command = [sys.executable, "-c", SCRIPT]
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == 4 * ["passed"] + 4 * ["refused"]
