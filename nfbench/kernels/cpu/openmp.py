"""The entry to torch's own OpenMP threads, for compiled code: a function that runs another in several threads."""

import contextlib
import ctypes
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import llvmlite.binding
import torch

# The symbol by which compiled code calls void parallel(void (*body)(void *), void *data, unsigned threads, unsigned
# flags), which is GNU's: `body(data)` in every thread, of which the caller's is one.
PARALLEL = "nfbench_parallel"
_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_entry: Callable[..., Any] = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)


@_entry
def in_python(body: int, data: int, threads: int, _: int) -> None:
    """The same by Python's threads, for where torch has not GNU's OpenMP."""
    work, others = _Body(body), []
    with contextlib.suppress(RuntimeError):  # as the interpreter ends it starts no more threads
        others += [_pool(threads - 1).submit(work, data) for _ in range(threads - 1)]
    work(data)
    for other in others:
        other.result()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "nfbench")


def _parallel() -> int:
    """The address of the function in the library that torch is linked with, another copy's threads would be others."""
    entry: Any = in_python
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        entry = library.GOMP_parallel
    except (OSError, AttributeError):
        pass
    return ctypes.cast(entry, ctypes.c_void_p).value or 0


llvmlite.binding.add_symbol(PARALLEL, _parallel())
