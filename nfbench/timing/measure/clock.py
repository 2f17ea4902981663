"""The protocol: warm-up to a steady state, then rounds in which every contender runs in turn, A B A B."""

import contextlib
import functools
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from pydantic import Field

from nfbench.records.timings import Spread
from nfbench.specification.config import Strict

Run = Callable[[], object]
Clock = Callable[[Run, int], float]  # (what to run, repetitions) -> seconds of one repetition, their mean

FEWEST = 3  # rounds of a contender, however slow it is
MOST_REPETITIONS = 100_000  # in one sample
_WINDOW = 5  # calls whose median tells whether times still fall
_STILL_FALLS = 0.98


class Protocol(Strict):
    """How long is measured; all times in seconds.

    Attributes:
        rounds: at most; a contender takes part in as many as its budget allows, and at least in three.
        budget: of one contender's rounds on one case.
        sample: short work is repeated within a round until a sample is at least this long.
        warm_calls: at least, before the clock counts.
        warm_seconds: at least, the first call not counted.
        warm_limit: at most, once there were `warm_calls`.
    """

    rounds: int = Field(default=30, ge=FEWEST)
    budget: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    sample: float = Field(default=0.002, gt=0, allow_inf_nan=False)
    warm_calls: int = Field(default=3, ge=2)
    warm_seconds: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    warm_limit: float = Field(default=1.0, gt=0, allow_inf_nan=False)


class Warm(NamedTuple):
    """A contender after its warm-up: the time of one steady call, and what the first calls took beyond it.

    Attributes:
        seconds: of one call.
        first: seconds of the first calls beyond that.
    """

    seconds: float
    first: float


class Entrant(NamedTuple):
    """What takes part in the rounds, and how long one call of it takes.

    Attributes:
        run: one repetition.
        seconds: that it takes.
    """

    run: Run
    seconds: float


def clock(device: str) -> Clock:
    """The clock of a device: events on CUDA, the monotonic counter of the system elsewhere.

    Args:
        device: of torch.

    Returns:
        ``(run, repetitions) -> seconds of one repetition``, their mean.
    """
    return _cuda_clock(device) if device.startswith("cuda") else wall


def wall(run: Run, repetitions: int) -> float:
    """Seconds of one repetition, back to back.

    Args:
        run: what is timed.
        repetitions: at least 1.

    Returns:
        The mean over the repetitions.
    """
    begin = time.perf_counter_ns()
    for _ in range(repetitions):
        run()
    return (time.perf_counter_ns() - begin) / (1e9 * repetitions)


def _cuda_clock(device: str) -> Clock:
    """Each repetition between two events, after its predecessor's data were driven out of the L2 cache."""
    size = 2 * torch.cuda.get_device_properties(device).L2_cache_size
    flush = torch.empty(max(size, 1), dtype=torch.int8, device=device)

    def measured(run: Run, repetitions: int) -> float:
        total = 0.0
        for _ in range(repetitions):
            flush.zero_()
            torch.cuda.synchronize(device)
            begin, end = _event(), _event()
            with torch.cuda.device(device):
                begin.record()
                run()
                end.record()
            end.synchronize()
            total += begin.elapsed_time(end) / 1e3
        return total / repetitions

    return measured


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def warm_up(run: Run, measured: Clock, protocol: Protocol) -> Warm:
    """Call until the median of the last five calls is no longer below that of the five before.

    Args:
        run: what is timed.
        measured: the clock.
        protocol: how long at least and at most.

    Returns:
        Seconds of a steady call, and of the first calls beyond it.
    """
    calls: list[float] = []
    while not _steady(calls, protocol):
        calls.append(measured(run, 1))
    steady = statistics.median(calls[-min(_WINDOW, max(1, len(calls) // 2)) :])
    return Warm(steady, sum(max(0.0, call - steady) for call in calls[: protocol.warm_calls]))


def _steady(calls: Sequence[float], protocol: Protocol) -> bool:
    spent = sum(calls[1:])  # the first may have compiled
    if len(calls) < protocol.warm_calls or spent < min(protocol.warm_seconds, protocol.warm_limit):
        return False
    if spent >= protocol.warm_limit:
        return True
    recent, before = calls[-_WINDOW:], calls[-2 * _WINDOW : -_WINDOW]
    return len(before) == _WINDOW and statistics.median(recent) >= _STILL_FALLS * statistics.median(before)


def rounds(
    entrants: Mapping[str, Entrant], measured: Clock, protocol: Protocol, base: str
) -> dict[str, dict[int, float] | Exception]:
    """Samples of every entrant by round, or what it raised.

    Each round runs its entrants one after the other and begins with another one than the round before. A sample begins
    after a call that does not count: what others have left in the caches would else be part of it. `base` takes
    part in every round, so that each sample has one of `base` beside it; a slow entrant takes part in fewer, spread
    evenly, and none in more than `base` can afford.

    Args:
        entrants: by name; what runs, and how long one call takes.
        measured: the clock.
        protocol: rounds, budget and length of a sample.
        base: name of the entrant that takes part in every round.

    Returns:
        By name: round -> seconds, or the error.
    """
    repetitions = {name: repeated(entrant.seconds, protocol) for name, entrant in entrants.items()}
    wanted = {
        name: _affordable(entrant.seconds * (1 + repetitions[name]), protocol) for name, entrant in entrants.items()
    }
    total = wanted.get(base, max(wanted.values(), default=0))
    samples: dict[str, dict[int, float] | Exception] = {name: {} for name in entrants}
    with _uncollected():
        for number in range(total):
            gc.collect()
            for name in _turns(wanted, number, total):
                _sample(samples, name, number, functools.partial(_settled, measured, entrants[name], repetitions[name]))
    return samples


def _sample(
    samples: dict[str, dict[int, float] | Exception], name: str, number: int, measure: Callable[[], float]
) -> None:
    taken = samples[name]
    if isinstance(taken, Exception):
        return
    try:
        taken[number] = measure()
    except Exception as error:  # a contender's own: an outcome that its record shows
        samples[name] = error


def _settled(measured: Clock, entrant: Entrant, repetitions: int) -> float:
    entrant.run()
    return measured(entrant.run, repetitions)


def _turns(wanted: Mapping[str, int], number: int, total: int) -> list[str]:
    """Who runs in a round, in its order."""
    names = list(wanted)
    start = number % len(names)
    return [name for name in names[start:] + names[:start] if _takes_part(min(wanted[name], total), number, total)]


def _takes_part(count: int, number: int, total: int) -> bool:
    """Whether one that takes part in `count` of `total` rounds does so in this one.

    >>> [number for number in range(10) if _takes_part(3, number, 10)]
    [3, 6, 9]
    """
    return number * count // total != (number + 1) * count // total


def repeated(seconds: float, protocol: Protocol) -> int:
    """Repetitions of a call of so many seconds that make a sample.

    Args:
        seconds: of one call.
        protocol: says how long a sample is.

    Returns:
        At least 1.
    """
    return min(MOST_REPETITIONS, math.ceil(protocol.sample / seconds)) if seconds > 0 else MOST_REPETITIONS


def _affordable(sample: float, protocol: Protocol) -> int:
    return min(protocol.rounds, max(FEWEST, int(protocol.budget / sample))) if sample > 0 else protocol.rounds


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, interpolated linearly.

    >>> spread([4.0, 1.0, 2.0, 3.0, 5.0])
    Spread(median=3.0, low=2.0, high=4.0)

    Args:
        values: at least one.

    Returns:
        In the unit of the values.
    """
    if len(values) == 1:
        return Spread(median=values[0], low=values[0], high=values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high)


def ratio(samples: Mapping[int, float], base: Mapping[int, float]) -> Spread:
    """Spread over the common rounds of the one's time over the other's in the same round.

    Args:
        samples: round -> seconds.
        base: the same of the contender that is divided by.

    Returns:
        Median and quartiles of the ratio.
    """
    return spread([samples[number] / base[number] for number in samples if number in base])


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection within a sample; what lived before is left out of the collections between rounds."""
    enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
