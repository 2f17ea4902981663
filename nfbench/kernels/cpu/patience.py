"""Whether a kernel's caller waits for helper threads, or does their shares too: what a busy machine makes worse.

OpenMP's caller returns only after every helper has come to the end, even one that found nothing left to do. Where other
processes have the cores, a helper comes when its time slice does, some milliseconds late, and a kernel of 0.6 ms has
waited 6 ms for it. So each call is looked at afterwards: if the caller, alone, would have been done sooner, the next
calls are its own, until they have lasted as long as it has waited. What an idle machine loses by that is at most what a
late helper has just cost. Shares stay as they are, whoever works on them, and so does every rounding.
"""

import functools
from collections.abc import Hashable
from typing import Any

LATE = 100_000  # ns of waiting that are worth a thought; waking a thread takes 30,000
_MOST = 250_000_000  # ns of work after which helpers are called again
_LONGEST = 64  # times the waiting that work alone lasts, where helpers are late again and again


class Patience:
    """What the last calls of one kernel with the same shares have shown.

    Attributes:
        owed: ns of work that the caller still does alone.
    """

    def __init__(self) -> None:
        self.owed = 0
        self._factor = 1

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

        All threads worked until the first of them found no share left, so that the caller alone would have taken at
        most `threads` times that long.

        Args:
            threads: how many it used.
            began: when it began, in ns.
            idle: when the first thread found no share left, in ns.
            ended: when it ended, in ns.
        """
        if threads == 1:
            self.owed -= ended - began
            return
        waited = ended - idle
        if waited > LATE and threads * (idle - began) < ended - began:
            self.owed = min(self._factor * waited, _MOST)
            self._factor = min(2 * self._factor, _LONGEST)
        else:
            self._factor = max(self._factor // 2, 1)


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
