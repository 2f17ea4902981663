"""Files and folders: atomic writes, listings that say why they fail, a check that a folder can be written."""

import contextlib
import os
from pathlib import Path

from nfbench.foundation.errors import InputError


def replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Args:
        file: its folder is made where it is missing.
        content: all of it.

    Raises:
        InputError: the folder cannot be written.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted; nothing where there is no folder (`Path.glob` is silent where it may not look).

    Args:
        folder: to be listed.

    Returns:
        Paths.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"cannot read folder {str(folder)!r}: {error.strerror}; expected a readable folder") from None


def check_writable(root: Path) -> None:
    """Make the folder and a file in it, before hours of training show that it cannot be done.

    Args:
        root: the folder.

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
