"""What kind of tensors torch makes where nothing is said, and the choice of rows of one."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Within the block new tensors are on the CPU, and gradients can be followed through them.

    Outside it a default device (`torch.set_default_device`, ``with torch.device("meta")``) or `torch.inference_mode`
    may be on: parameters that were made under the latter could never be trained.

    Yields:
        Nothing.
    """
    with torch.inference_mode(mode=False), torch.device("cpu"):
        yield


def evenly_spaced(num: int, length: int, device: torch.device | None = None) -> torch.Tensor:
    """The places of evenly spaced rows, as data files may be sorted by class.

    >>> evenly_spaced(3, 10)
    tensor([0, 3, 6])

    Args:
        num: how many; of fewer rows all.
        length: number of rows there are.
        device: of the result.

    Returns:
        (min(num, length),), ascending.
    """
    chosen = min(num, length)
    return torch.arange(chosen, device=device) * length // max(1, chosen)
