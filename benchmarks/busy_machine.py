"""How much longer a fused chain and its textbook form take where other processes have the cores.

    python -P benchmarks/busy_machine.py --rounds 200

Contenders of one case are timed in turn, call by call: nfbench as it is, nfbench waiting for every helper (as OpenMP
does by itself), nfbench in one thread, and the textbook form through ``torch.compile``. First without, then with one
process a core that only counts. A row is the median of the calls with its quartiles, in ms, and as a multiple of the
textbook's in the same rounds. The load says what else the machine did; with other work on it, nothing here is idle.
"""

import argparse
import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nfbench.kernels.cpu.patience import Patience, patience
from nfbench.records.timings import Case
from nfbench.timing.contenders.contract import contenders, inputs
from nfbench.timing.run import threads

Call = Callable[[], object]


def _count() -> None:
    while True:
        pass


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Within the block so many processes are busy."""
    started = [multiprocessing.Process(target=_count, daemon=True) for _ in range(processes)]
    for process in started:
        process.start()
    time.sleep(0.5 if started else 0)
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.join()


def always(run: Call, number: int) -> Call:
    """The same work with so many threads every time, whatever calls have shown; shares are cut as ever."""

    def works() -> None:
        kept = Patience.threads, Patience.learn
        Patience.threads, Patience.learn = lambda self, most: min(most, number), lambda self, *times: None
        try:
            run()
        finally:
            Patience.threads, Patience.learn = kept

    return works


def measured(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call, the contenders in turn, each as often as any other behind each of the others."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    orders = itertools.permutations(calls.items())
    for order in itertools.islice(itertools.cycle(orders), rounds):
        for name, call in order:
            began = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - began))
    return times


def main() -> None:
    """Time all contenders without and with load, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--posterior", default="planar:K=32")
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--mode", default="forward")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--against", default="compile", help="name of the contender that is compared with")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    case = Case(
        profile="quick", posterior=options.posterior, mode=options.mode, dim=2, draws=options.draws, threads=cores
    )
    with threads(cores):
        ours, theirs = (contenders()[name].work(case, inputs(case)).run for name in ("nfbench", options.against))
        calls = {"nfbench": ours, "waiting": always(ours, cores), "alone": always(ours, 1)}
        calls |= {options.against: theirs}
        measured(calls, 10)
        print(f"{options.posterior}, {options.mode}, {options.draws:,} draws, {cores} threads")
        for processes in (0, cores):
            patience.cache_clear()
            before = os.getloadavg()[0]
            with busy(processes):
                times = measured(calls, options.rounds)
            print(f"{processes} busy processes of ours; load before {before:.1f}")
            for name, each in times.items():
                low, middle, high = statistics.quantiles(each, n=4)
                ratio = statistics.median(a / b for a, b in zip(each, times[options.against], strict=True))
                mean = statistics.fmean(each)
                print(
                    f"  {name:10}{middle:8.2f} [{low:.2f}, {high:.2f}] ms, mean {mean:.2f}; {ratio:.2f} x the textbook"
                )


if __name__ == "__main__":
    main()
