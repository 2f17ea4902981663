"""Which implementation of a chain runs: the environment variable ``NFBENCH_BACKEND`` says."""

import os
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from nfbench.errors import InputError

VARIABLE = "NFBENCH_BACKEND"
Backend = Literal["auto", "reference", "numba"]


def backend() -> Backend:
    """``reference`` is plain PyTorch, ``numba`` the fused CPU kernels, ``auto`` these where they are as exact.

    Raises:
        InputError: another value.
    """
    value = os.environ.get(VARIABLE) or "auto"
    if value not in get_args(Backend):
        raise InputError(f"{VARIABLE}={value!r}: expected one of {', '.join(get_args(Backend))}")
    return cast(Backend, value)


def fused(z: Tensor) -> bool:
    """Whether a chain of these draws goes through a fused CPU kernel.

    In float32 the kernels' tanh ends some 1e-7 off 1, the same for every saturated draw. Times w.u of a steep map this
    biases the gradient of ln|det| by up to 1e-3, enough to move where a training of U1 ends by 0.03 nats. Until that is
    mended, float32 goes through a kernel only when ``numba`` asks for it.

    Raises:
        InputError: ``numba`` was asked for, and the draws are on another device or of another dtype.
    """
    chosen = backend()
    fits = z.device.type == "cpu" and z.dtype in (torch.float32, torch.float64)
    if chosen == "numba" and not fits:
        raise InputError(f"{VARIABLE}=numba: draws are {z.dtype} on {z.device}; expected float32 or float64 on the CPU")
    return fits and (chosen == "numba" or (chosen == "auto" and z.dtype == torch.float64))
