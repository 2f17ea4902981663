"""Compiled kernels in torch's threads: every share is done once, by several, and what goes wrong is said."""

import ctypes
import os
import subprocess
import sys
import textwrap
import time

import numba
import numpy as np
import pytest
import torch

import nfbench
from nfbench.kernels.cpu import team
from nfbench.kernels.cpu.patience import LATE, Patience, patience
from nfbench.kernels.cpu.team import Share, own, run

_nap = ctypes.CDLL(None).usleep
_nap.argtypes, _nap.restype = [ctypes.c_uint], ctypes.c_int
_self = ctypes.CDLL(None).pthread_self
_self.argtypes, _self.restype = [], ctypes.c_ulong


@pytest.fixture(autouse=True)
def _forgotten():
    """No call of another test has made its caller impatient."""
    patience.cache_clear()


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


@numba.njit(nogil=True)
def _slow_for_one(who, naps, share):
    number, _, _, _, _ = share
    who[number] = _self()
    _nap(naps[number])


def _workers(shares, naps, threads=2):
    """How many threads do the shares, each of which lasts that many microseconds."""
    who = np.zeros(len(shares), np.uint64)
    run([(_slow_for_one, (who, np.array(naps)))], shares, threads)
    assert who.all()
    return len(set(who.tolist()))


def test_after_a_late_helper_the_caller_works_alone_for_as_long_as_it_has_waited():
    """A call that one thread left early and waited for is followed by work alone, and then helpers are called again."""
    shares = _shares(2)
    assert _workers(shares, [200_000, 1_500_000]) == 2
    last = patience(_slow_for_one, shares)
    assert last.owed == 250_000_000
    while last.owed > 0:
        assert _workers(shares, [40_000, 40_000]) == 1
    assert last.threads(2) == 2


def test_what_a_calls_compilation_takes_is_no_part_of_it(monkeypatch):
    """A call is looked at from the beginning of its machine code, however long that took to be made."""
    launch, moments = team._launch, []

    def late(*arguments):
        moments.append(time.monotonic_ns())
        return launch(*arguments)

    monkeypatch.setattr(team, "_launch", late)
    monkeypatch.setattr(Patience, "learn", lambda self, threads, *calls: moments.extend(calls))
    _workers(_shares(2), [1_000, 1_000])
    assert len(moments) == 4
    assert moments == sorted(moments)


def test_what_would_not_have_been_done_sooner_alone_changes_nothing():
    """Waiting for the longer part of even work, or shorter than a thread takes to wake, is no reason to work alone."""
    last = Patience()
    for threads, idle, ended in ((2, 600, 1000), (4, 260, 1000), (2, 10, LATE // 1000 - 1)):
        last.learn(threads, 0, 1000 * idle, 1000 * ended)
        assert last.threads(threads) == threads
    last.learn(2, 0, 400_000, 1_000_000)
    assert (last.threads(2), last.owed) == (1, 600_000)


def test_helpers_that_are_late_again_and_again_are_called_ever_more_rarely():
    """The work alone doubles up to 64 times the waiting and a quarter of a second; prompt helpers shorten it again."""
    last, alone = Patience(), []
    for _ in range(9):
        last.learn(2, 0, 10_000, 1_010_000)
        alone.append(last.owed // 1_000_000)
        while last.owed > 0:
            last.learn(1, 0, 0, 20_000)
        assert last.threads(2) == 2
    assert alone == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    for _ in range(6):
        last.learn(2, 0, 500_000, 500_001)
    last.learn(2, 0, 10_000, 5_010_000)
    assert last.owed == 5_000_000
    last.learn(2, 0, 10_000, 10**15)
    assert last.owed == 250_000_000


def test_helpers_that_are_late_now_and_then_and_worth_it_stay():
    """Of calls of 5 ms, or 12 where a helper is late, the mean decides against 10 ms alone, not a single late one."""
    last, calls = Patience(), []
    for late in ([False] * 3 + [True]) * 25:
        threads = last.threads(2)
        calls.append(threads)
        if threads == 1:
            last.learn(1, 0, 0, 10_000_000)
        else:
            last.learn(2, 0, 5_000_000, 12_000_000 if late else 5_000_000)
    assert calls.count(1) < 5
    always = []
    for _ in range(40):
        always.append(last.threads(2))
        last.learn(always[-1], 0, 5_000_000, 10_000_000 if always[-1] == 1 else 12_000_000)
    assert always.count(1) > 20


def test_alone_a_chain_gives_the_same_bits(monkeypatch):
    """Draws, ln q and gradients of a fused chain are the same to the last bit, whether helpers work or not."""
    torch.manual_seed(0)
    q = nfbench.posterior("planar:K=32", 2)
    noise = torch.randn(20_000, 1, 2)
    outcomes = []
    for owed in (0, 10**12):
        patience.cache_clear()
        monkeypatch.setattr(Patience, "threads", lambda self, most, owed=owed: 1 if owed else most)
        q.zero_grad()
        z, log_q = q(noise)
        (z.sum() + log_q.sum()).backward()
        outcomes.append([z.detach(), log_q.detach(), *(each.grad for each in q.parameters())])
    assert all(torch.equal(*pair) for pair in zip(*outcomes, strict=True))
