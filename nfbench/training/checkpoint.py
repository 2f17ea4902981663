"""The file of an unfinished training: its state behind a checksum, so that a damaged one is never resumed from."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from nfbench.foundation import files

_MARK = b"nfbench checkpoint 1\n"
MOST_BYTES = 2**37  # parameters and two moments of each, for every seed
_DIGEST = hashlib.sha256().digest_size


def write(file: Path, state: dict[str, Any]) -> None:
    """Store a state with its SHA-256 checksum, whole or not at all.

    Args:
        file: path of the checkpoint; its folder is made if missing.
        state: tensors, numbers, texts, lists and dictionaries of these.

    Raises:
        InputError: the folder cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    files.replace(file, _MARK + hashlib.sha256(content).digest() + content)


def read(file: Path) -> dict[str, Any]:
    """Read the state that `write` stored. No code is executed: torch's unpickler takes numbers only.

    Args:
        file: the checkpoint's path.

    Returns:
        The state, with its tensors on the CPU.

    Raises:
        ValueError: the file is empty, torn, changed since it was written, no checkpoint at all, or it cannot be read.
    """
    stored = files.read(file, MOST_BYTES, "checkpoint")
    start = len(_MARK) + _DIGEST
    if len(stored) <= start or not stored.startswith(_MARK):
        raise ValueError("it is no whole checkpoint")
    content = stored[start:]
    if hashlib.sha256(content).digest() != stored[len(_MARK) : start]:
        raise ValueError("its content is not what was written")
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state
