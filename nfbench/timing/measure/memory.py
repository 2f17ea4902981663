"""Peak memory of one repetition, outside the clock."""

import contextlib
import os
from collections.abc import Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from nfbench.kernels.cpu.memory import counted
from nfbench.timing.measure.clock import Run


def peak(run: Run, device: str) -> int:
    """Bytes that a repetition holds at its peak beyond what was allocated before.

    CUDA: the allocator's own count. CPU: the running sum of torch's allocations as its profiler reports them, those of
    the compiled kernels among them; what another library allocates elsewhere is not seen.

    Args:
        run: one repetition.
        device: where it runs.

    Returns:
        At least 0.
    """
    return _cuda(run, device) if device.startswith("cuda") else _cpu(run)


def _cuda(run: Run, device: str) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _cpu(run: Run) -> int:
    with _silent(), counted(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    results = profiled.profiler.kineto_results if profiled.profiler else None
    if results is None:
        raise RuntimeError("torch's profiler gave no events")
    changes = sorted((event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]")
    held = highest = 0
    for _, change in changes:
        held += change
        highest = max(highest, held)
    return highest


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The profiler's C++ part writes its own log to the standard error stream, past Python."""
    original, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(nowhere)
