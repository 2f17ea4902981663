"""Downloads of data files: from several mirrors in turn, whole and right, or not at all."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nfbench.data.source import Source
from nfbench.data.storage.files import File, cache, find, read
from nfbench.foundation.errors import InputError

_PATIENCE = 30  # seconds without an answer
_CHUNK = 2**16
_LONGEST_REASON = 200


def get(source: Source, folder: Path | None = None, say: Callable[[str], None] = print) -> Iterator[Path]:
    """Download what is missing of a source; gives the place of every file.

    Args:
        source: of the files.
        folder: where to keep them; None: in the cache, if no other folder has them.
        say: is told of each attempt.

    Raises:
        InputError: no mirror gave the right file, or it cannot be kept, or a wrong one lies in a user's own folder.
    """
    home = cache() if folder is None else folder
    for file in source.files:
        there = find(file, None if folder is None else [folder])
        if there is None or not _right(file, there, home):
            there = download(file, there, home, say)
        yield there


def download(file: File, path: Path | None, home: Path, say: Callable[[str], None]) -> Path:
    """Download one file to `path`, or to where its name belongs in `home`; it appears there only when it is right.

    Raises:
        InputError: there is no mirror, none gave the right file, or the folder cannot be written; one line.
    """
    if not file.mirrors:
        raise InputError(f"data file {file.names[0]!r} has no download; {file.expected}")
    reasons = []
    for url in file.mirrors:
        place = path or home / _name(file, url)
        with _partial(place) as partial:
            say(f"downloading {url}")
            reason = _failure(file, url, partial)
            if reason is None:
                partial.replace(place)
                return place
        reasons.append(f"{url}: {reason}")
    raise InputError(f"data file {file.names[0]!r}: no mirror gave it: {'; '.join(reasons)}")


def _right(file: File, there: Path, home: Path) -> bool:
    """Whether a file that is there is right; a wrong one may be replaced in `home` only."""
    try:
        read(file, there)
    except InputError as error:
        if home in there.parents:
            return False
        raise InputError(f"{error}; remove it, and run this again") from None
    return True


def _name(file: File, url: str) -> str:
    """The name that the mirror gives the file, where it is one of its names."""
    return next((name for name in file.names if name.endswith("/" + url.rpartition("/")[2])), file.names[0])


@contextlib.contextmanager
def _partial(place: Path) -> Iterator[Path]:
    """A name beside `place` that nobody looks for, gone after the block."""
    partial = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise InputError(
            f"cannot write to data folder {str(place.parent)!r}: {error.strerror}; expected a writable folder"
        ) from None
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _failure(file: File, url: str, partial: Path) -> str | None:
    """Download from one mirror; why it did not give the right file, None if it did."""
    import pooch

    try:
        pooch.HTTPDownloader(timeout=_PATIENCE, chunk_size=_CHUNK)(url, str(partial), None)
        file.rows(partial.read_bytes(), url)
    except InputError as error:
        return str(error)
    except (OSError, ValueError) as error:  # requests' exceptions are OSErrors
        return _reason(error)
    return None


def _reason(error: Exception) -> str:
    """One line; requests wraps what it is told in the URL and in names of its own classes."""
    inner = getattr(error.args[0], "reason", error) if error.args else error
    return " ".join(f"{type(inner).__name__}: {inner}".split())[:_LONGEST_REASON]
