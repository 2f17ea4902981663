"""What kind of tensors torch makes where nothing is said."""

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
