"""How compiled code runs a function in torch's own OpenMP threads: OpenMP's entry gets the LLVM symbol `PARALLEL`."""

import contextlib
import ctypes
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import llvmlite.binding
import torch

# The symbol by which compiled code calls GNU OpenMP's
#     void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags)
# which runs `body(data)` in every thread; the caller's is one of them.
PARALLEL = "nfbench_parallel"
_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_entry: Callable[..., Any] = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)


@_entry
def in_python(body: int, data: int, threads: int, _: int) -> None:
    """`GOMP_parallel` by Python's threads, for builds of torch without GNU OpenMP (macOS).

    Args:
        body: address of the function.
        data: its argument.
        threads: how many threads run it, the caller's included.
        _: flags, unused.
    """
    function, futures = _Body(body), []
    with contextlib.suppress(RuntimeError):  # while the interpreter shuts down it starts no more threads
        futures += [_pool(threads - 1).submit(function, data) for _ in range(threads - 1)]
    function(data)
    for future in futures:
        future.result()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "nfbench")


def _parallel() -> int:
    """The address of `GOMP_parallel` in the OpenMP that torch uses (another copy would start threads of its own)."""
    entry: Any = in_python
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        entry = library.GOMP_parallel
    except (OSError, AttributeError):
        pass
    return ctypes.cast(entry, ctypes.c_void_p).value or 0


llvmlite.binding.add_symbol(PARALLEL, _parallel())
