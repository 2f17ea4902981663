"""The decorators of compiled functions: numba's, with the package's rules for rounding and its cache (`cache`)."""

from collections.abc import Callable
from typing import Any

import numba

from nfbench.kernels.compiler.cache import MachineCode

# Sums may be reordered, products fused; NaN and infinity stay. A loop that writes to one array, reads another and sums
# up has two forms in machine code, with vectors and without, which add in different orders. Which of them runs depends
# on how far apart the arrays happen to lie, so that numbers would differ from process to process: a sum is taken in a
# loop of its own, which only reads.
FLAGS = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a kernel: it runs without Python's lock.

    Args:
        function: of arrays and numbers, in the Python that numba knows.

    Returns:
        Numba's dispatcher, which compiles at its first call for each kind of arguments.
    """
    return _kept(numba.njit(fastmath=FLAGS, error_model="numpy", nogil=True)(function))


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call, into each of them.

    Without `forceinline` LLVM makes two versions of it, inside the kernel and beside it: a process that has just
    compiled runs the first, one that loads the cache the second, and they round differently.

    Args:
        function: as in `compiled`.

    Returns:
        Numba's dispatcher.
    """
    return _kept(numba.njit(fastmath=FLAGS, error_model="numpy", nogil=True, forceinline=True)(function))


def launcher(function: Callable[..., Any]) -> Any:
    """Compile a function that starts kernels and computes nothing itself.

    Args:
        function: as in `compiled`.

    Returns:
        Numba's dispatcher.
    """
    return _kept(numba.njit(nogil=True)(function))


def _kept(dispatcher: Any) -> Any:
    """Keep the dispatcher's machine code between processes, as numba's own option ``cache=True`` would."""
    dispatcher._cache = MachineCode(dispatcher.py_func)
    return dispatcher
