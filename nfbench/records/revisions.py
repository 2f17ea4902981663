"""Folders of results as they are, or as a git revision has them: ``results``, ``HEAD~5:results``."""

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nfbench.foundation.errors import InputError

_SECONDS = 600  # for git


@contextlib.contextmanager
def folder(text: str) -> Iterator[Path]:
    """A folder of results.

    Args:
        text: its path, or ``REVISION:PATH`` of the git repository that the working folder lies in; such a path begins
            at the repository's top, or with ``./`` in the working folder.

    Yields:
        The folder; that of a revision is a copy that goes after the block.

    Raises:
        InputError: no such folder, or git has no such revision of it.
    """
    if Path(text).is_dir() or ":" not in text:
        if not Path(text).is_dir():
            raise InputError(f"no results folder {text!r}; expected a folder, or REVISION:PATH of a git repository")
        yield Path(text)
        return
    with tempfile.TemporaryDirectory(prefix="nfbench-") as copy:
        _unpack(text, Path(copy))
        yield Path(copy)


def _unpack(tree: str, into: Path) -> None:
    name = _git(tree, "rev-parse", "--verify", "--end-of-options", tree).decode().split()[-1]
    top = _git(tree, "rev-parse", "--show-toplevel").decode().strip()
    content = _git(tree, "-C", top, "archive", "--format=tar", name)  # elsewhere it would archive a part only
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(into, filter="data")


def _git(tree: str, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"results {tree!r}: git cannot be asked: {error}; expected a folder") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split()).removeprefix("fatal: ")
        raise InputError(f"results {tree!r}: no folder, and git says: {said}; expected a folder, or REVISION:PATH")
    return done.stdout
