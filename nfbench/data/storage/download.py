"""Downloads of data files: from several mirrors in turn, whole and right, or not at all."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from nfbench.data.source import Source
from nfbench.data.storage.files import File, find, read
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import make_folder, partial
from nfbench.foundation.files import read as read_file
from nfbench.foundation.settings import cache_folder
from nfbench.foundation.sweep import sweep

_PATIENCE = 30  # seconds without an answer
_CHUNK = 2**16
_ATTEMPTS = 4  # for each mirror, where connections break off
_SLOWEST = 10_000  # bytes a second, over a whole download
_LONGEST_REASON = 200


def get(source: Source, folder: Path | None = None, say: Callable[[str], None] = print) -> Iterator[Path]:
    """Download what is missing of a source.

    Args:
        source: of the files.
        folder: where to keep them; None: in the cache, if no other folder has them.
        say: is told of each attempt.

    Yields:
        The place of every file.

    Raises:
        InputError: no mirror gave the right file, or it cannot be kept, or a wrong one lies in a user's own folder.
    """
    home = cache_folder() if folder is None else folder
    for file in source.files:
        present = find(file, None if folder is None else [folder])
        if present is None or not _is_right(file, present, home):
            present = download(file, present, home, say)
        yield present


def download(file: File, path: Path | None, home: Path, say: Callable[[str], None]) -> Path:
    """Download one file; it appears at its place only when it is whole and right.

    A connection that breaks off is taken up again where it was, if the server can do that (HTTP Range), else the file
    is asked for from its start, a few times within the same limits of size and time.

    Args:
        file: what is wanted, with its mirrors.
        path: its place; None: where its name belongs in `home`.
        home: folder of the downloads.
        say: is told of each attempt.

    Returns:
        The file's place.

    Raises:
        InputError: there is no mirror, none gave the right file, or the folder cannot be written; one line.
    """
    if not file.mirrors:
        raise InputError(f"data file {file.names[0]!r} has no download; {file.expected}")
    reasons = []
    for url in file.mirrors:
        place = path or home / _name(file, url)
        with _partial(place) as part:
            say(f"downloading {url}")
            reason = _failure(file, url, part)
            if reason is None:
                part.replace(place)
                return place
        reasons.append(f"{url}: {reason}")
    raise InputError(f"data file {file.names[0]!r}: no mirror gave it: {'; '.join(reasons)}")


def _is_right(file: File, present: Path, home: Path) -> bool:
    """Whether a file that is there is right; a wrong one may be replaced in `home` only."""
    try:
        read(file, present)
    except InputError as error:
        if home in present.parents:
            return False
        raise InputError(f"{error}; remove it, and run this again") from None
    return True


def _name(file: File, url: str) -> str:
    """The name that the mirror gives the file, where it is one of its names."""
    return next((name for name in file.names if name.endswith("/" + url.rpartition("/")[2])), file.names[0])


@contextlib.contextmanager
def _partial(place: Path) -> Iterator[Path]:
    """A name beside `place` that nobody looks for, gone after the block; those of killed downloads go before it."""
    try:
        make_folder(place.parent)
        sweep(place.parent)
        with partial(place) as (_, part):
            yield part
    except OSError as error:
        raise InputError(
            f"cannot write to data folder {str(place.parent)!r}: {error.strerror}; expected a writable folder"
        ) from None


def _failure(file: File, url: str, part: Path) -> str | None:
    """Download from one mirror; why it did not give the right file, None if it did."""
    if reason := _fetch(url, part, file.most_download):
        return reason
    try:
        file.rows(read_file(part, file.most_download + _CHUNK, "download"), url)
    except InputError as error:
        return str(error)
    return None


def _fetch(url: str, part: Path, most: int) -> str | None:
    """Write what a server sends to a file, within limits of size and time; why it could not be done, else None.

    It is done in a thread that is left to itself at the end of the time, as a server that sends a byte now and then
    keeps a connection waiting without end.
    """
    allowance = _Allowance(most)
    reasons: list[str] = []
    unexpected: list[BaseException] = []

    def work() -> None:
        try:
            with part.open("wb") as stream:
                for attempt in range(1, _ATTEMPTS + 1):
                    if _continued(url, stream, allowance, last=attempt == _ATTEMPTS):
                        return
        except InputError as error:
            reasons.append(str(error))
        except (OSError, ValueError) as error:  # requests' exceptions are OSErrors
            reasons.append(_reason(error))
        except BaseException as error:
            unexpected.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(allowance.seconds)
    if thread.is_alive():
        allowance.stop()
        return f"slower than {_SLOWEST} bytes a second"
    if unexpected:
        raise unexpected[0]
    return reasons[0] if reasons else None


def _continued(url: str, stream: BinaryIO, allowance: "_Allowance", *, last: bool) -> bool:
    """Download what a stream lacks yet: the rest if the server sends that, else all of it.

    Args:
        url: of the file.
        stream: holds the first bytes of the file, at its end; what comes is added.
        allowance: how much may come, and until when.
        last: whether a connection that breaks off is an error.

    Returns:
        True when the file is whole, False if the connection broke off in the middle.
    """
    import pooch
    import requests

    start = stream.tell()
    answered: list[bool] = []  # for each answer, whether positions in the stream are those of what is sent

    def begin(response: Any, **_: Any) -> None:
        if response.ok and not response.is_redirect:
            answered.append("Content-Encoding" not in response.headers)
            rest = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            if not (response.status_code == HTTPStatus.PARTIAL_CONTENT and rest):
                stream.seek(0)
                stream.truncate()
            allowance.begin(stream.tell())

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    options: dict[str, Any] = {"headers": headers, "hooks": {"response": begin}}
    try:
        pooch.HTTPDownloader(progressbar=allowance, timeout=_PATIENCE, chunk_size=_CHUNK, **options)(url, stream, None)
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
        if last or not answered:
            raise
        if not answered[-1]:
            stream.seek(0)
            stream.truncate()
        return False
    return True


class _Allowance:
    """Ends a download that is too large or too slow. pooch tells it, in place of a progress bar, what has arrived."""

    def __init__(self, most: int) -> None:
        self.total = 0  # what the server says; pooch sets it
        self._most = most
        self._start = self._bytes = 0
        self.seconds = _PATIENCE + most / _SLOWEST
        self._end = time.monotonic() + self.seconds

    def stop(self) -> None:
        """Allow nothing more."""
        self._end = 0.0

    def begin(self, start: int) -> None:
        """Count from here on, as what comes is added to so many bytes."""
        self._start = self._bytes = start

    def update(self, count: int) -> None:
        """Count bytes.

        Raises:
            InputError: they are too many, or come too late.
        """
        self._bytes += count
        if max(self._bytes - _CHUNK, self._start + self.total) > self._most:  # the last chunk counts as a whole one
            raise InputError(f"more than {self._most} bytes; expected at most those")
        if time.monotonic() > self._end:
            raise InputError(f"slower than {_SLOWEST} bytes a second")

    def reset(self) -> None:
        """Count anew, as pooch does at the end."""
        self._bytes = self._start

    def close(self) -> None:
        """Nothing is open."""


def _reason(error: Exception) -> str:
    """One line; requests wraps what it is told in the URL and in names of its own classes."""
    inner = getattr(error.args[0], "reason", error) if error.args else error
    return " ".join(f"{type(inner).__name__}: {inner}".split())[:_LONGEST_REASON]
