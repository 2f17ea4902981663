"""Seeds that are mapped over together, beside each of them alone."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def together_and_alone(
    function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], dims: Sequence[int | None]
) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """What a function gives under `torch.vmap`, and what it gives for one seed after the other, stacked.

    Args:
        function: of as many tensors as there are inputs.
        inputs: of each, with seeds as the first axis where `dims` says 0.
        dims: 0 or None for each.

    Returns:
        The results of both, seeds first.
    """
    seeds = next(len(part) for part, dim in zip(inputs, dims, strict=True) if dim == 0)
    of_seed = [[part if dim is None else part[e] for part, dim in zip(inputs, dims, strict=True)] for e in range(seeds)]
    alone = [function(*parts) for parts in of_seed]
    return torch.vmap(function, in_dims=tuple(dims))(*inputs), [
        torch.stack(parts) for parts in zip(*alone, strict=True)
    ]
