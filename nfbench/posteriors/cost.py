"""The least work that a posterior needs, as numbers moved and flops."""

from typing import NamedTuple


class Cost(NamedTuple):
    """The least work that the mathematics of a chain needs, whoever computes it.

    Attributes:
        numbers: moved between memory and the processor, each as wide as the dtype.
        flops: additions and multiplications.
    """

    numbers: float
    flops: float


def combine(*parts: tuple[float, Cost]) -> Cost:
    """Add up costs.

    >>> combine((2, Cost(1, 10)), (3, Cost(0, 1)))
    Cost(numbers=2, flops=23)

    Args:
        parts: pairs of a number of times and the cost of each time.

    Returns:
        The sum of all costs, each as often as its pair says.
    """
    return Cost(sum(times * cost.numbers for times, cost in parts), sum(times * cost.flops for times, cost in parts))
