"""What of this machine a command may use."""

import os
from pathlib import Path

from nfbench.foundation.errors import InputError


def devices() -> list[str]:
    """The torch devices here, by the names that ``--device`` takes."""
    import torch

    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def check_device(name: str) -> str:
    """The name itself, where such a device is here; ``cuda`` is the first of its kind.

    Raises:
        InputError: no such device.
    """
    known = devices()
    if name in known or f"{name}:0" in known:
        return name
    import torch

    raise InputError(f"no device {name!r} here; known: {', '.join(known)} (torch {torch.__version__})")


def check_writable(root: Path) -> None:
    """Make the folder and a file in it, before hours of training show that it cannot be done.

    Raises:
        InputError: the folder cannot be made or written.
    """
    probe = root / f".probe.{os.getpid()}.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to folder {str(root)!r}: {error.strerror}; expected a writable folder"
        ) from None
