"""Every environment variable that nfbench reads, in one place.

| variable | what it says |
|---|---|
| ``NFBENCH_BACKEND`` | ``auto`` (default: the device's fused kernels), ``reference`` (PyTorch), ``numba``, ``triton`` |
| ``NFBENCH_DATA`` | folders where data files are looked for, divided as in ``PATH``: by ``:``, on Windows by ``;`` |
| ``RAY_ADDRESS`` | Ray's own: the cluster for ``nfbench run --executor ray``, as ``HOST:PORT`` |
| ``TRITON_INTERPRET`` | Triton's own: ``1`` runs its kernels in Python on the CPU |
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast, get_args

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean

BACKEND_VARIABLE = "NFBENCH_BACKEND"
DATA_VARIABLE = "NFBENCH_DATA"
RAY_VARIABLE = "RAY_ADDRESS"
TRITON_VARIABLE = "TRITON_INTERPRET"
Backend = Literal["auto", "reference", "numba", "triton"]
_BACKENDS = get_args(Backend)
_TRUE = ("1", "true", "yes", "on", "y")  # as Triton reads it
_GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


def backend() -> Backend:
    """``reference`` is plain PyTorch, ``numba`` the fused CPU kernels, ``triton`` the fused GPU kernels.

    ``auto`` takes the fused kernels of the device where the draws are, and plain PyTorch where there are none.

    Returns:
        Its name.

    Raises:
        InputError: ``NFBENCH_BACKEND`` has another value.
    """
    value = os.environ.get(BACKEND_VARIABLE) or "auto"
    if value not in _BACKENDS:
        hint = did_you_mean(value, _BACKENDS)
        raise InputError(f"{BACKEND_VARIABLE}={value!r}:{hint} expected one of {', '.join(_BACKENDS)}")
    return cast(Backend, value)


@contextlib.contextmanager
def using_backend(name: str | None) -> Iterator[None]:
    """Within the block ``NFBENCH_BACKEND`` is `name`, in this process and in those that it starts.

    Args:
        name: of the backend; None: what the user said stays, and is only checked.

    Returns:
        A context manager.

    Raises:
        InputError: there is no such backend.
    """
    before = os.environ.get(BACKEND_VARIABLE)
    try:
        if name is not None:
            os.environ[BACKEND_VARIABLE] = name
        backend()
        yield
    finally:
        if before is None:
            os.environ.pop(BACKEND_VARIABLE, None)
        else:
            os.environ[BACKEND_VARIABLE] = before


def data_folders() -> list[Path]:
    """The folders that ``NFBENCH_DATA`` names, in its order; ``~`` is the user's home.

    Returns:
        Paths, whether there are such folders or not.
    """
    return [Path(part).expanduser() for part in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if part]


def prepend_data_folder(folder: Path) -> None:
    """Put a folder before those that ``NFBENCH_DATA`` names, for this process and for those that it starts.

    Args:
        folder: of data files.
    """
    before = os.environ.get(DATA_VARIABLE)
    os.environ[DATA_VARIABLE] = os.pathsep.join([str(folder.resolve()), *([before] if before else [])])


def cache_folder() -> Path:
    """The user's folder for what nfbench can make or fetch again, such as downloads: ``~/.cache/nfbench`` on Linux.

    Returns:
        A path, whether there is such a folder or not; without a home it is not absolute.
    """
    import platformdirs

    return Path(platformdirs.user_cache_dir("nfbench"))


def ray_address() -> str:
    """Which cluster of Ray is asked.

    Returns:
        ``RAY_ADDRESS``, HOST:PORT or another word of Ray's; empty where it is not set.
    """
    return os.environ.get(RAY_VARIABLE, "")


def environment() -> dict[str, str]:
    """All environment variables of this process.

    Returns:
        A copy: name -> value.
    """
    return dict(os.environ)


def set_environment(values: dict[str, str]) -> None:
    """Make these all environment variables of this process, as where foreign code has changed them.

    Args:
        values: name -> value; variables with other names are removed.
    """
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in values.items() if os.environ.get(name) != value})


def without_git() -> dict[str, str]:
    """The environment of a git command that asks about a folder: without what a hook or a user has set for another one.

    Returns:
        All variables but those which point git to a repository, an index or a work tree.
    """
    return {name: value for name, value in os.environ.items() if name not in _GIT}


def triton_interpreted() -> bool:
    """Whether Triton runs its kernels in Python on the CPU: ``TRITON_INTERPRET=1``, set before its first import.

    Returns:
        True if it is set.
    """
    return os.environ.get(TRITON_VARIABLE, "0").lower() in _TRUE
