"""torch's compiler: how to make it forget what it has compiled, and to import it without its own deprecations."""

import contextlib
import warnings
from collections.abc import Iterator

import torch


def forget_compiled() -> None:
    """Have `torch.compile` begin anew: of one function torch keeps a few compiled forms, and gives up beyond."""
    with importing_inductor():  # as it does where there is CUDA
        torch.compiler.reset()


@contextlib.contextmanager
def importing_inductor() -> Iterator[None]:
    """Within the block no deprecation is passed on: inductor itself uses what torch has deprecated.

    Returns:
        A context manager.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
