"""Compiling kernels: it is told once it happens, and its time is none of a clock's."""

import time

import numba

from nfbench.foundation.compiling import MESSAGE, clock, compile_seconds, watch


def test_the_clock_stands_still_while_a_kernel_is_compiled():
    """The first call of a function compiles it, which is told and takes no time of the clock; the second does not."""
    told = []
    before, started, seconds = compile_seconds(), clock(), time.perf_counter()
    watch(told.append)
    try:

        @numba.njit
        def inner(x):
            return x + 1

        @numba.njit
        def outer(x):
            return 2 * inner(x)

        assert outer(1) == 4
        taken, real = clock() - started, time.perf_counter() - seconds
        compiled = compile_seconds() - before
        assert set(told) == {MESSAGE}
        assert 0 < compiled < real
        assert abs(taken + compiled - real) < 0.01
        told.clear()
        assert outer(2) == 6
    finally:
        watch(None)
    assert told == []
    assert compile_seconds() - before == compiled
