"""Schedules in closed form: functions from the number of an update to its learning rate and annealing factor."""

import math
from collections.abc import Callable

from nfbench.specification.config import Training

# The one-cycle schedule, with torch's defaults: the rate rises for 30 % of the updates from 1/25 of its maximum, and
# ends at 1/25e4 of its maximum.
_RISE, _START, _END = 0.3, 1 / 25, 1 / 25e4


def annealing(config: Training) -> Callable[[int], float]:
    """The annealing factor beta_t on the whole ln p(x, z), by the number of an update (Rezende & Mohamed 2015, eq. 20).

    Args:
        config: the recipe: beta_t = min(1, anneal_start + t / anneal_updates), or 1 where `anneal_updates` is 0.

    Returns:
        The function from the number of an update, from 0, to its factor.

    >>> beta = annealing(Training(learning_rate=1e-5, updates=500_000, anneal_updates=10_000))
    >>> beta(0), beta(9_900)
    (0.01, 1.0)
    """
    if not config.anneal_updates:
        return lambda step: 1.0
    return lambda step: min(1.0, config.anneal_start + step / config.anneal_updates)


def learning_rate(config: Training) -> Callable[[int], float]:
    """The learning rate's schedule; one-cycle is Smith & Topin 2018 with cosines, as torch's `OneCycleLR`.

    Args:
        config: gives the schedule, the maximal learning rate and the number of updates.

    Returns:
        A function from an update's number, counted from 0, to its learning rate.

    >>> rate = learning_rate(Training(learning_rate=0.1, schedule="one-cycle", updates=100, anneal_updates=0))
    >>> round(rate(0), 6), round(rate(29), 3), f"{rate(100):.0e}"
    (0.004, 0.1, '4e-07')
    """
    if config.schedule == "constant":
        return lambda step: config.learning_rate
    top = _RISE * (config.updates + 1) - 1
    return lambda step: config.learning_rate * _cycle(step, top, config.updates)


def _cycle(step: int, top: float, last: int) -> float:
    """A one-cycle rate at an update, over its maximum, which it has at update `top`."""
    if step <= top:
        return _cosine(_START, 1.0, step / top)
    return _cosine(1.0, _END, (step - top) / (last - top))


def _cosine(start: float, end: float, part: float) -> float:
    """Half a cosine wave from `start` at part 0 to `end` at part 1."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))
