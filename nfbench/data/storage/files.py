"""Data files: where they are looked for, and the proof that they hold what they should."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from nfbench.data.protocol import Rows, sha256
from nfbench.data.storage.formats import check_unpacked
from nfbench.foundation.errors import InputError, MissingDataError
from nfbench.foundation.files import read as read_file
from nfbench.foundation.settings import DATA_VARIABLE, cache_folder, data_folders, prepend_data_folder

_SPARE = 2**20  # bytes that a file may have beyond those of its numbers


@dataclass(frozen=True)
class File:
    """One file of images, in any of several forms that hold the same rows.

    What is hashed are the rows, which a recompressed or converted file still has. Where nobody has published a hash of
    them, the file itself is hashed.

    Attributes:
        names: `folder/file` for each form, looked for in this order; the first is what a download is called, unless
            the mirror has another one of them.
        decode: a file's bytes to its rows, whichever form it is.
        shape: `(n, pixels)` of the rows.
        size: bytes to be downloaded, or None where nobody has said.
        sha256: of the rows, or empty.
        container: `sha256:...` of the file's bytes, or `git:...`, the sha1 that git gives them; empty where `sha256` is
            known.
        mirrors: URLs of the file, asked in turn.
        holds: the content in words, where it is no images.
    """

    names: tuple[str, ...]
    decode: Callable[[bytes], Rows]
    shape: tuple[int, int]
    size: int | None
    sha256: str = ""
    container: str = ""
    mirrors: tuple[str, ...] = ()
    holds: str = ""

    @property
    def expected(self) -> str:
        """What a right file is, in words."""
        proof = f"sha256 {self.sha256}" if self.sha256 else f"a file with {self.container.replace(':', ' ')}"
        return f"expected {self.holds or f'{self.shape[0]} images of {self.shape[1]} numbers'}, {proof}"

    @property
    def most_download(self) -> int:
        """Bytes that a download may have: twice those that are known, or those of its numbers as float64."""
        return _SPARE + (2 * self.size if self.size else 8 * self.shape[0] * self.shape[1])

    def rows(self, content: bytes, place: str | Path) -> Rows:
        """What the bytes of a file hold, `(n, pixels)`.

        Args:
            content: bytes of the file.
            place: path or URL, for messages.

        Returns:
            (n, pixels), uint8.

        Raises:
            InputError: not these rows; the message names `place`, what was found and what was expected.
        """
        told = f"data file {str(place)!r} ({len(content)} bytes)"
        kind, _, digest = self.container.partition(":")
        if kind and (actual := _digest(kind, content)) != digest:
            raise InputError(f"{told}: {kind} {actual}; {self.expected}")
        try:
            check_unpacked(content, _SPARE + 16 * self.shape[0] * self.shape[1])
            rows = self.decode(content)
        except Exception as error:  # bytes that are not an image file can make a reader fail in any way
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"{told} cannot be read: {reason}; {self.expected}") from None
        if rows.shape != self.shape or (self.sha256 and sha256(rows) != self.sha256):
            raise InputError(f"{told}: numbers {rows.shape} with sha256 {sha256(rows)}; {self.expected}")
        return rows


def folders() -> list[Path]:
    """Where data files are looked for, in this order: the folders that ``NFBENCH_DATA`` names, then the cache.

    Returns:
        Paths, whether there are such folders or not.
    """
    return [*data_folders(), cache_folder()]


def prepend(folder: Path) -> None:
    """Look in `folder` first, in this process and in those that it starts.

    Args:
        folder: of data files.

    Raises:
        InputError: it is no folder.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises where it may not look
        raise InputError(f"data folder {str(folder)!r}: no such folder; expected one that holds data files")
    prepend_data_folder(folder)


def find(file: File, among: list[Path] | None = None) -> Path | None:
    """The first place that has the file in any of its forms, as `folder/file` or as `file` alone.

    Args:
        file: what is looked for, by any of its names.
        among: folders, in order; None: those of `folders`.

    Returns:
        Its path; None: nowhere.

    Raises:
        InputError: a folder before it may not be looked into.
    """
    for folder in folders() if among is None else among:
        for name in file.names:
            for path in (folder / name, folder / Path(name).name):
                if _there(path, folder):
                    return path
    return None


def nowhere(file: File, source: str) -> NoReturn:
    """Say that a file is missing, and what can be done.

    Args:
        file: what is missing.
        source: by which ``nfbench data get`` knows it.

    Returns:
        Never.

    Raises:
        MissingDataError: always.
    """
    names = " or ".join(dict.fromkeys(Path(name).name for name in file.names))
    places = ", ".join(f"{str(folder)!r}" for folder in folders())
    get = f"run 'nfbench data get {source}'" if file.mirrors else "(there is no download of this one)"
    raise MissingDataError(
        f"data {source!r}: no file {names} in {places}; "
        f"give its folder by --data-dir DIR, or set {DATA_VARIABLE}=DIR, or {get}"
    )


def read(file: File, path: Path) -> Rows:
    """What a file holds.

    Args:
        file: what it should hold.
        path: where it lies.

    Returns:
        (n, pixels), uint8.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    most = max(file.most_download, _SPARE + 16 * file.shape[0] * file.shape[1])
    return file.rows(read_file(path, most, "data file"), path)


def _there(path: Path, folder: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InputError(f"data folder {str(folder)!r}: {error.strerror}; expected a readable folder") from None
    return True


def _digest(kind: str, content: bytes) -> str:
    if kind == "git":
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return hashlib.new(kind, content).hexdigest()
