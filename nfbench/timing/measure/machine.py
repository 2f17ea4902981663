"""What this machine can do at best at the moment: measured ceilings."""

import os
from typing import NamedTuple

import torch

from nfbench.timing.measure.clock import Clock, Run, clock

_COPY = 2**27  # bytes of one buffer: beyond the caches
_SIDE = {"cpu": 1024, "cuda": 8192}  # of the square matrices
_TRIES = 4


class Ceilings(NamedTuple):
    """Bytes a second that a copy reads and writes, and flops a second of a matrix product.

    Attributes:
        bandwidth: bytes a second.
        rate: flops a second.
    """

    bandwidth: float
    rate: float


def ceilings(device: str, dtype: str) -> Ceilings:
    """Best of several copies and of several matrix products, with torch's threads as they are set.

    Args:
        device: of torch.
        dtype: ``float32`` or ``float64``.

    Returns:
        Bandwidth and rate.
    """
    measured, kind = clock(device), getattr(torch, dtype)
    return Ceilings(_bandwidth(device, kind, measured), _rate(device, kind, measured))


def best(first: Ceilings, second: Ceilings) -> Ceilings:
    """The higher of each.

    Args:
        first: measured before.
        second: measured after.

    Returns:
        The higher bandwidth and the higher rate.
    """
    return Ceilings(max(first.bandwidth, second.bandwidth), max(first.rate, second.rate))


def load() -> float:
    """Runnable processes of this machine, averaged over the last minute.

    Returns:
        The system's load average of a minute, in hundredths.
    """
    return round(os.getloadavg()[0], 2)


def _bandwidth(device: str, kind: torch.dtype, measured: Clock) -> float:
    source = torch.ones(_COPY // kind.itemsize, dtype=kind, device=device)
    copy = torch.empty_like(source)
    return 2 * _COPY / _best(lambda: copy.copy_(source), measured)


def _rate(device: str, kind: torch.dtype, measured: Clock) -> float:
    side = _SIDE.get(torch.device(device).type, _SIDE["cpu"])
    left, right = (torch.randn(side, side, dtype=kind, device=device) for _ in range(2))
    return 2 * side**3 / _best(lambda: left @ right, measured)


def _best(run: Run, measured: Clock) -> float:
    run()
    return min(measured(run, 1) for _ in range(_TRIES))
