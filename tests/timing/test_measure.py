"""The timing protocol: turns, samples and quartiles, warm-up, memory, ceilings, one timing at a time."""

import gc
import itertools
import os
import subprocess
import sys
import threading

import pytest
import torch

from nfbench.foundation.errors import InputError
from nfbench.timing.lock import lane
from nfbench.timing.measure.clock import Entrant, Protocol, ratio, repeated, rounds, spread, wall, warm_up
from nfbench.timing.measure.machine import ceilings
from nfbench.timing.measure.memory import peak
from nfbench.timing.run import threads


class Scripted:
    """A clock that does not look at the time: each run says what it took."""

    def __init__(self, took):
        self.took = {name: itertools.cycle(times) for name, times in took.items()}
        self.log = []

    def entrant(self, name, seconds=1.0):
        return Entrant(lambda: name, seconds)

    def __call__(self, run, repetitions):
        name = run()
        self.log.append((name, repetitions))
        return next(self.took[name])


# --- rounds


def test_contenders_take_turns_and_the_order_rotates():
    """Every round runs each contender once, one after the other, and each round begins with the next one."""
    script = Scripted({"a": [1.0], "b": [2.0], "c": [3.0]})
    rounds({name: script.entrant(name) for name in "abc"}, script, Protocol(rounds=3, budget=100), "a")
    assert [name for name, _ in script.log] == list("abcbcacab")


def test_what_others_leave_in_the_caches_is_not_timed():
    """A call that follows another contender's is slow here; none of those that count does."""
    last = []

    def entrant(name):
        return Entrant(lambda: last.append(name), 1.0)

    def colder(run, repetitions):
        before = last[-1]
        run()
        return 1.0 if last[-1] == before else 9.0

    samples = rounds({name: entrant(name) for name in "abc"}, colder, Protocol(rounds=3, budget=100), "a")
    assert [list(samples[name].values()) for name in "abc"] == [[1.0] * 3] * 3


def test_ratio_compares_within_a_round():
    """A machine that slows down threefold between rounds changes times but no ratio."""
    script = Scripted({"a": [1.0, 3.0, 1.0, 3.0], "b": [2.0, 6.0, 2.0, 6.0]})
    samples = rounds({name: script.entrant(name) for name in "ab"}, script, Protocol(rounds=4, budget=100), "a")
    found = ratio(samples["b"], samples["a"])
    assert (found.low, found.median, found.high) == (2.0, 2.0, 2.0)
    assert spread(list(samples["b"].values())).median == 4.0


def test_a_slow_contender_takes_part_in_three_rounds_beside_the_base():
    """Whoever exceeds the budget with a single call still gets three samples, each beside one of the base."""
    script = Scripted({"base": [0.01], "slow": [50.0], "other": [0.02]})
    entrants = {"base": script.entrant("base", 0.01), "slow": script.entrant("slow", 50.0)}
    entrants["other"] = script.entrant("other", 0.02)
    samples = rounds(entrants, script, Protocol(rounds=12, budget=0.24), "base")
    assert [len(samples[name]) for name in entrants] == [12, 3, 6]
    assert set(samples["slow"]) | set(samples["other"]) <= set(samples["base"])
    assert ratio(samples["slow"], samples["base"]).median == 5000.0


def test_nobody_runs_oftener_than_a_slow_base_can():
    """Samples without one of the base beside them would have no ratio."""
    script = Scripted({"base": [1.0], "fast": [0.01]})
    entrants = {"base": script.entrant("base", 1.0), "fast": script.entrant("fast", 0.01)}
    samples = rounds(entrants, script, Protocol(rounds=30, budget=0.5, sample=0.001), "base")
    assert list(samples["base"]) == list(samples["fast"]) == [0, 1, 2]


def test_rounds_without_a_base_still_measure():
    """Where nfbench itself failed, the others have times."""
    script = Scripted({"a": [1.0]})
    assert len(rounds({"a": script.entrant("a", 0.1)}, script, Protocol(rounds=5, budget=100), "base")["a"]) == 5
    assert rounds({}, script, Protocol(), "base") == {}


def test_what_breaks_in_a_round_stops_nobody_else():
    """A contender that raises in the second round ends with its error; the other one has all its samples."""
    calls = itertools.count()

    def breaks():
        if next(calls) == 3:  # the one of the second round that counts
            raise MemoryError("no more")

    entrants = {"a": Entrant(lambda: None, 1.0), "b": Entrant(breaks, 1.0)}
    samples = rounds(entrants, wall, Protocol(rounds=5, budget=100), "a")
    assert isinstance(samples["b"], MemoryError)
    assert len(samples["a"]) == 5
    assert next(calls) == 4


@pytest.mark.parametrize(("seconds", "count"), [(1.0, 1), (0.002, 1), (0.0019, 2), (1e-5, 200), (0.0, 100_000)])
def test_short_work_is_repeated_until_a_sample_is_long_enough(seconds, count):
    """As many repetitions as make 2 ms, one where a call is longer, and never without end."""
    assert repeated(seconds, Protocol(sample=0.002)) == count


def test_repetitions_reach_the_clock():
    """A contender of 1 ms is called four times for a sample of 4 ms, and one of 4 ms once."""
    script = Scripted({"a": [0.001], "b": [0.004]})
    entrants = {"a": script.entrant("a", 0.001), "b": script.entrant("b", 0.004)}
    rounds(entrants, script, Protocol(rounds=3, budget=100, sample=0.004), "a")
    assert set(script.log) == {("a", 4), ("b", 1)}


def test_nothing_is_collected_within_a_sample():
    """The garbage collector is off while a contender runs, and on again afterwards, after an error too."""
    seen = []
    rounds({"a": Entrant(lambda: seen.append(gc.isenabled()), 1.0)}, wall, Protocol(rounds=3, budget=100), "a")
    assert (seen, gc.isenabled()) == ([False] * 6, True)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds({"a": Entrant(interrupted, 1.0)}, wall, Protocol(), "a")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_quartiles_are_interpolated():
    """As numpy's percentiles, by default linear."""
    found = spread([4.0, 1.0, 3.0, 2.0])
    assert (found.low, found.median, found.high) == (1.75, 2.5, 3.25)
    assert spread([7.0]).high == 7.0


# --- warm-up


def test_warm_up_goes_on_while_times_fall():
    """Twenty calls that get faster, then steady ones: the steady time is the late one, not a mean of all."""
    falling = [1.0 - 0.04 * call for call in range(20)]
    script = Scripted({"a": [*falling, *[0.2] * 1000]})
    warm = warm_up(lambda: "a", script, Protocol(warm_calls=3, warm_seconds=0, warm_limit=1000))
    assert len(script.log) >= 25
    assert warm.seconds == pytest.approx(0.2)


def test_first_calls_are_reported_apart():
    """A compilation of 30 s in the first call, and of 5 s in the second, is no part of the steady time."""
    script = Scripted({"a": [30.0, 5.0, *[0.5] * 1000]})
    warm = warm_up(lambda: "a", script, Protocol(warm_calls=3, warm_seconds=0.1, warm_limit=4))
    assert warm.seconds == pytest.approx(0.5)
    assert warm.first == pytest.approx(29.5 + 4.5)


def test_warm_up_ends():
    """Slow work is called `warm_calls` times; work that keeps getting faster, until the limit."""
    script = Scripted({"a": [10.0]})
    warm_up(lambda: "a", script, Protocol(warm_calls=3, warm_limit=1))
    assert len(script.log) == 3
    script = Scripted({"a": [0.1 * 0.99**call for call in range(10_000)]})
    warm_up(lambda: "a", script, Protocol(warm_calls=3, warm_limit=2))
    assert 20 < len(script.log) < 30


def test_wall_clock_counts_all_repetitions():
    """The system's clock runs what it is given as often as it is told, and gives the time of one."""
    calls = []
    assert wall(lambda: calls.append(1), 7) > 0
    assert len(calls) == 7


# --- memory, machine, threads


def test_peak_memory_is_what_is_held_at_once():
    """Three buffers held together count three times, five made and dropped one after the other count once."""
    size = 4 * 10_000

    def together():
        return [torch.empty(10_000) for _ in range(3)]

    def in_turn():
        for _ in range(5):
            torch.empty(10_000)

    assert (peak(together, "cpu"), peak(in_turn, "cpu")) == (3 * size, size)


def test_peak_memory_sees_an_operator_of_our_own():
    """A custom operator's workspace counts though torch only sees one call."""

    @torch.library.custom_op("nfbench_test::workspace", mutates_args=())
    def workspace(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(50_000).sum() + x

    x = torch.zeros(())
    workspace(x)
    assert 200_000 <= peak(lambda: workspace(x), "cpu") < 201_000


def test_peak_memory_writes_nothing(capfd):
    """The profiler's own log does not reach the user, and what is printed afterwards does."""
    peak(lambda: torch.zeros(3), "cpu")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_ceilings_are_of_this_machine():
    """A copy and a product take a time that any machine has."""
    with threads(1):
        found = ceilings("cpu", "float32")
    assert 1e8 < found.bandwidth < 1e13
    assert 1e8 < found.rate < 1e15


def test_threads_are_set_and_restored():
    """A case's number of threads ends with it, whatever happens within."""
    before = torch.get_num_threads()

    def fails():
        with threads(before + 1):
            return torch.get_num_threads() / 0

    with pytest.raises(ZeroDivisionError):
        fails()
    assert torch.get_num_threads() == before
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1


# --- the exclusive lane


def test_a_second_timing_is_refused_or_waits(tmp_path):
    """With the lane taken, one that may not wait is refused and told by whom; one that may gets in when it is free."""
    said, order = [], []

    def second():
        with lane(say=said.append, file=tmp_path / "lock"):
            order.append("second")

    with lane(file=tmp_path / "lock"):
        with (
            pytest.raises(InputError, match=f"process {os.getpid()}") as refused,
            lane(wait=False, file=tmp_path / "lock"),
        ):
            pass
        assert "\n" not in str(refused.value)
        waiting = threading.Thread(target=second)
        waiting.start()
        while not said:
            waiting.join(0.01)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    assert said == [f"waiting for another timing on this machine to end (process {os.getpid()})"]


def test_the_lane_of_a_killed_process_is_free(tmp_path):
    """Nothing has to be cleaned up after kill -9, and the dead process is not named."""
    script = (
        "import sys, time, pathlib\n"
        "from nfbench.timing.lock import lane\n"
        "with lane(file=pathlib.Path(sys.argv[1])):\n"
        "    print('in', flush=True); time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "in\n"
    with pytest.raises(InputError, match=f"process {holder.pid}"), lane(wait=False, file=tmp_path / "lock"):
        pass
    holder.kill()
    holder.communicate()
    with lane(wait=False, file=tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_lock_that_cannot_be_opened_is_named(tmp_path):
    """A folder or a link where the lock should be gives one line."""
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    for file in (tmp_path, tmp_path / "link"):
        with pytest.raises(InputError, match="cannot open the lock"), lane(file=file):
            pass
    assert not (tmp_path / "victim").exists()
