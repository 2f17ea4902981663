"""Compiled kernels in torch's threads: every share is done once, by several, and what goes wrong is said."""

import ctypes
import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest

from nfbench.kernels.cpu.team import Share, own, run

_nap = ctypes.CDLL(None).usleep
_nap.argtypes, _nap.restype = [ctypes.c_uint], ctypes.c_int
_self = ctypes.CDLL(None).pthread_self
_self.argtypes, _self.restype = [], ctypes.c_ulong


@numba.njit(nogil=True)
def _write(numbers, who, share):
    number, group, groups, start, stop = share
    _nap(20_000)  # so that another thread is awake before all is done
    who[number] = _self()
    for g in range(group, groups):
        for n in range(start, stop):
            numbers[g, n] += number + 1


@numba.njit(nogil=True)
def _add_up(numbers, sums, share):
    _, group, groups, start, stop = share
    found = own(sums, share)
    for g in range(group, groups):
        for n in range(start, stop):
            found[0] += numbers[g, n]


@numba.njit(nogil=True)
def _too_much(numbers, share):
    if share[0] == 1:
        numbers[0] = np.empty(2**59)[0]


def _shares(count):
    return tuple(Share(number, number, number + 1, 0, 3) for number in range(count))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_step_of_every_share_is_done_once(threads, dtype):
    """The second step of a share sees what its first has written; sums go to the share's own place."""
    numbers, who, sums = np.zeros((5, 3), dtype), np.zeros(5, np.uint64), np.zeros((5, 1), dtype)
    run([(_write, (numbers, who)), (_add_up, (numbers, sums))], _shares(5), threads)
    assert numbers.tolist() == [[number + 1.0] * 3 for number in range(5)]
    assert sums.ravel().tolist() == [3.0 * (number + 1) for number in range(5)]
    assert who.all()
    if threads > 1:
        assert 1 < len(set(who.tolist())) <= threads


def test_what_has_one_place_for_all():
    """`own` of an array for all shares is that array."""
    sums = np.zeros((1, 1))
    run([(_add_up, (np.ones((2, 3)), sums))], _shares(2), 1)
    assert sums.item() == 6


@pytest.mark.parametrize("threads", [1, 2])
def test_no_room(threads):
    """A kernel that finds no memory says so, in whichever thread."""
    with pytest.raises(MemoryError):
        run([(_too_much, (np.zeros(1),))], _shares(3), threads)


CHAIN = """
    import ctypes, os, sys
    import torch
    real = ctypes.CDLL
    def loaded(name, *rest, **options):
        if "libtorch" in str(name) and os.environ.get("ABSENT"):
            raise OSError(name)
        return real(name, *rest, **options)
    ctypes.CDLL = loaded
    from nfbench.kernels.cpu import openmp; from nfbench.kernels.planar import reference as planar
    torch.set_num_threads(2)
    z, maps = torch.randn(20_000, 1, 4), torch.randn(1, 32, 9)
    def equal():
        shared, _ = planar.chain(z, maps)
        torch.set_num_threads(1)
        alone, _ = planar.chain(z, maps)
        torch.set_num_threads(2)
        return (shared.numpy() == alone.numpy()).all()  # torch's own comparison would wait in a fork, too
    assert equal()
"""


def _script(text, **environment):
    """Run it in a process of its own; threads that wait for others forever end it."""
    lines = textwrap.dedent(CHAIN) + textwrap.dedent(text)
    given = {**os.environ, "NFBENCH_BACKEND": "numba", **environment}
    return subprocess.run(
        [sys.executable, "-c", lines], env=given, capture_output=True, text=True, timeout=120, check=False
    )


def test_without_gnus_openmp():
    """Python's threads stand in for OpenMP's where torch has none that is known."""
    done = _script("assert openmp._pool.cache_info().currsize == 1", ABSENT="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_with_it():
    """Where torch has it, no thread of Python's is started."""
    done = _script("assert openmp._pool.cache_info().currsize == 0")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fork_works_alone():
    """OpenMP's threads are not in a fork, which would wait for them forever."""
    done = _script("""
        child = os.fork()
        if not child:
            os._exit(0 if equal() else 1)
        sys.exit(os.waitpid(child, 0)[1])
    """)
    assert (done.returncode, done.stderr) == (0, "")
