"""Where a number comes from: package, revision, libraries, machine."""

import datetime
import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nfbench.foundation.checks import brief
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.foundation.settings import backend, without_git

_TORCH_NAMES = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "metal": "mps", "apple": "mps"}  # of devices
_LIBRARIES = ("torch", "numpy", "numba", "scipy", "pandas", "scikit-learn", "pydantic")


@functools.cache
def provenance() -> dict[str, Any]:
    """Facts of this process that a number may depend on: the same for every record that the process writes."""
    return {
        "nfbench": installed_version("nfbench"),
        "revision": _revision(),
        "python": platform.python_version(),
        "libraries": {name: installed_version(name) for name in _LIBRARIES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def now() -> str:
    """The time as records have it.

    Returns:
        UTC, ISO 8601, to the second.
    """
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution; None where it is not installed.

    Args:
        distribution: such as ``nfbench`` or ``torch``.

    Returns:
        Such as ``2.13.0``.
    """
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """The git revision of the source tree, with ``+changes`` where tracked files differ; None outside a checkout.

    A repository in which the package merely lies, as in a virtual environment of a user's project, is not its own.
    """
    here = Path(__file__).parents[1]  # the package, not this folder of it
    try:
        _git(here, "ls-files", "--error-unmatch", str(Path(__file__).relative_to(here)))
        head = _git(here, "rev-parse", "HEAD")
        return f"{head}+changes" if _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".") else head
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "core.fsmonitor=false", *words]  # no program of the repository's is run
    done = subprocess.run(command, cwd=folder, env=without_git(), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    return model or platform.processor() or platform.machine()


def runtime(device: str) -> dict[str, Any]:
    """The part of a record's provenance that can change between two calls of one process.

    Args:
        device: of torch.

    Returns:
        Name of the device, threads of torch, and the backend that the user chose.
    """
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return {"device": name, "threads": torch.get_num_threads(), "backend": backend()}


def devices() -> list[str]:
    """The torch devices here, by the names that ``--device`` takes.

    Returns:
        ``cpu`` first.
    """
    import torch

    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def check_device(name: str) -> str:
    """Refuse a device that is not here.

    Args:
        name: of a torch device; ``cuda`` is the first of its kind.

    Returns:
        The name itself.

    Raises:
        InputError: no such device.
    """
    import torch

    known = devices()
    if not isinstance(name, str):
        raise InputError(f"device {brief(name)}: expected a name: {', '.join(known)}")
    if name in known or f"{name}:0" in known:
        return name
    like = _TORCH_NAMES.get(name.lower())
    absent = (
        f"; what torch calls {like} is not here"
        if like and not any(device.startswith(like) for device in known)
        else ""
    )
    raise unknown("device", name, known, like=like, place=" here", note=f" (torch {torch.__version__}{absent})")
