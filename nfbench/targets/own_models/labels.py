"""What the variables of a model, their numbers and their distributions are called."""

from typing import Any


def labels(name: str, shape: tuple[int, ...], first: int = 0) -> list[str]:
    """Call the numbers of a variable by its name and their places, the last index fastest.

    Args:
        name: of the variable.
        shape: of its value.
        first: the number of the first index.

    Returns:
        One text for each number.

    >>> labels("tau", ()), labels("theta", (2, 2))
    (['tau'], ['theta[0,0]', 'theta[0,1]', 'theta[1,0]', 'theta[1,1]'])
    """
    if not shape:
        return [name]
    heads = [head[1:-1] for head in labels("", shape[:-1], first)]
    lasts = range(first, first + shape[-1])
    return [f"{name}[{head},{last}]" if head else f"{name}[{last}]" for head in heads for last in lasts]


def kind(distribution: Any) -> str:
    """The name of a distribution's class, below those that only change its shape.

    Args:
        distribution: of Pyro or NumPyro.

    Returns:
        Such as ``HalfCauchy``.
    """
    while type(distribution).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        distribution = distribution.base_dist
    return type(distribution).__name__
