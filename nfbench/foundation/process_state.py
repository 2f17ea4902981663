"""What a plug-in can change of the process that it runs in, taken before it runs and put back afterwards."""

import contextlib
import gc
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.distributions import Distribution

from nfbench.foundation.interrupts import SIGNALS
from nfbench.foundation.settings import environment, set_environment

_ENTERED: list[Any] = []  # torch's mode guards that undo a plug-in's; they act as long as they are referenced


class _Part(NamedTuple):
    """One thing that can be changed: its name in messages, how to read it, and how to put a read value back."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  a text is compared and put back
    except OSError:  # it was removed
        return None


def _set_handlers(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in SIGNALS}


def _streams() -> tuple[Any, Any]:
    return sys.stdout, sys.stderr


def _set_streams(streams: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = streams


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _set_inference_mode(value: bool) -> None:  # noqa: FBT001  it is what was read
    guard = torch.inference_mode(value)
    guard.__enter__()
    _ENTERED.append(guard)


def _set_warnings(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    with contextlib.suppress(AttributeError):
        warnings._filters_mutated()  # type: ignore[attr-defined]


def _set_default_device(name: str) -> None:
    torch.set_default_device(None if name == "cpu" else name)


def _validation() -> bool:
    return Distribution._validate_args  # what zuko turns off for every user of torch.distributions when it is imported


_PARTS = (
    _Part("the working directory", _folder, lambda folder: os.chdir(folder) if folder else None),
    _Part("environment variables", environment, set_environment),
    _Part("signal handlers", _handlers, _set_handlers),
    _Part("sys.stdout or sys.stderr", _streams, _set_streams),
    _Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Part("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    _Part("the file mode mask", _umask, os.umask),
    _Part("filters of warnings", lambda: list(warnings.filters), _set_warnings),
    _Part("numpy's handling of errors", np.geterr, lambda errors: np.seterr(**errors)),
    _Part("torch's inference mode", torch.is_inference_mode_enabled, _set_inference_mode),
    _Part("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    _Part("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Part("torch's default device", lambda: str(torch.get_default_device()), _set_default_device),
    _Part("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    _Part("torch.distributions' check of arguments", _validation, Distribution.set_default_validate_args),
    _Part("torch's anomaly detection", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    _Part(
        "torch's deterministic mode",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    _Part(
        "torch's autocast", lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)
    ),
    _Part(
        "torch's precision of products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
)
_GENERATORS = (
    _Part("torch's generator", torch.get_rng_state, torch.set_rng_state),
    _Part("numpy's generator", np.random.get_state, np.random.set_state),
    _Part("Python's generator", random.getstate, random.setstate),
)


class ProcessState:
    """The state of the process at one moment: what code can change that lies outside of its own objects.

    It covers the working directory, environment variables, handlers of `SIGNALS`, the standard streams, limits and
    modes of Python, numpy and torch, and the three process-wide generators of random numbers. It does not cover modules
    that were patched, threads, child processes (see `leftovers`) and files.
    """

    def __init__(self) -> None:
        self._values = {part.name: part.read() for part in _PARTS}
        self._generators = {part.name: part.read() for part in _GENERATORS}

    def changes(self) -> list[str]:
        """What is no longer as it was, generators of random numbers left out, as drawing from them is no mistake.

        Returns:
            Names such as ``torch's default dtype``.
        """
        return [part.name for part in _PARTS if part.read() != self._values[part.name]]

    def restore(self) -> list[str]:
        """Put back what has changed, and the generators.

        Returns:
            The names of what had changed, as of `changes`.
        """
        changed = self.changes()
        for part in _PARTS:
            if part.name in changed:
                with contextlib.suppress(Exception):  # such as a working directory that was removed
                    part.restore(self._values[part.name])
        for part in _GENERATORS:
            part.restore(self._generators[part.name])
        return changed


def seed_generators(seed: int) -> None:
    """Start the process-wide generators of torch, numpy and Python, so that code that draws from them repeats itself.

    Args:
        seed: any whole number that is not negative.
    """
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def leftovers() -> set[str]:
    """The threads and the child processes of this process, which a plug-in may have started.

    Returns:
        A text for each, such as ``thread Thread-3`` or ``process 4711``; processes only on Linux.
    """
    texts = {f"thread {thread.name}" for thread in threading.enumerate()}
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            texts |= {f"process {number}" for number in (task / "children").read_text().split()}
    return texts
