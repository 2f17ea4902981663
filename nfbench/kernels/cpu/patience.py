"""Whether a kernel's caller waits for helper threads, or does their shares too: what a busy machine makes worse.

OpenMP's caller returns only after every helper has come to the end, even one that found nothing left to do. Where other
processes have the cores, a helper comes when its time slice does, some milliseconds late, and a kernel of 0.6 ms has
waited 6 ms for it. So each call is looked at afterwards: if the caller, alone, would have been done sooner, and is
so in the mean of the last calls, the next calls are its own, until they have lasted as long as it has waited. What an
idle machine loses by that is at most what a late helper has just cost. Where helpers are late now and then but worth
their waiting, as with long kernels beside a process whose threads spin, they stay. Shares stay as they are, whoever
works on them, and so does every rounding.
"""

import functools
from collections.abc import Hashable
from typing import Any

LATE = 100_000  # ns of waiting that are worth a thought; waking a thread takes 30,000
_MOST = 250_000_000  # ns of work after which helpers are called again
_LONGEST = 64  # times the waiting that work alone lasts, where helpers are late again and again
_NEWEST = 1 / 8  # weight of the last call in a mean


class Patience:
    """What the last calls of one kernel with the same shares have shown.

    Attributes:
        owed: ns of work that the caller still does alone.
    """

    def __init__(self) -> None:
        self.owed = 0
        self._factor = 1
        self._alone: float | None = None  # mean ns of a call in one thread; None: there was none yet
        self._together: float | None = None  # of one with helpers

    def threads(self, most: int) -> int:
        """How many threads the next call uses.

        Args:
            most: how many it may use.

        Returns:
            That number, or 1.
        """
        return 1 if self.owed > 0 else most

    def learn(self, threads: int, began: int, idle: int, ended: int) -> None:
        """Look at a call that has ended.

        As long as nothing was done alone yet: all threads worked until the first of them found no share left, so that
        the caller alone would have taken at most `threads` times that long.

        Args:
            threads: how many it used.
            began: when it began, in ns.
            idle: when the first thread found no share left, in ns.
            ended: when it ended, in ns.
        """
        took = ended - began
        if threads == 1:
            self._alone = _mean(self._alone, took)
            self.owed -= took
            return
        self._together = _mean(self._together, took)
        alone = threads * (idle - began) if self._alone is None else self._alone
        waited = ended - idle
        if waited > LATE and alone < min(took, self._together):
            self.owed = min(self._factor * waited, _MOST)
            self._factor = min(2 * self._factor, _LONGEST)
        else:
            self._factor = max(self._factor // 2, 1)


def _mean(before: float | None, newest: float) -> float:
    return newest if before is None else before + _NEWEST * (newest - before)


@functools.lru_cache(maxsize=4096)
def patience(kernel: Any, shares: Hashable) -> Patience:
    """What is known of a kernel's calls with certain shares.

    Args:
        kernel: numba's dispatcher.
        shares: parts of the work.

    Returns:
        The same object for the same arguments.
    """
    return Patience()
