"""Every environment variable that nfbench reads, in one place."""

import os
from typing import Literal, cast, get_args

from nfbench.foundation.errors import InputError

VARIABLE = "NFBENCH_BACKEND"
Backend = Literal["auto", "reference", "numba", "triton"]
_BACKENDS = get_args(Backend)


def backend() -> Backend:
    """``reference`` is plain PyTorch, ``numba`` the fused CPU kernels, ``triton`` the fused GPU kernels.

    ``auto`` takes the fused kernels of the device where the draws are, and plain PyTorch where there are none.

    Raises:
        InputError: another value.
    """
    value = os.environ.get(VARIABLE) or "auto"
    if value not in _BACKENDS:
        raise InputError(f"{VARIABLE}={value!r}: expected one of {', '.join(_BACKENDS)}")
    return cast(Backend, value)
