"""Files and folders: durable atomic writes, reads that nothing odd can stop, listings that say why they fail.

A file that is being written lies beside its place as ``.<name>.<host>.<process>.<random>.part`` and is locked until it
gets its name, so that `nfbench.foundation.sweep` can tell the remains of a killed process from the work of a living
one, also of one in another container.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from nfbench.foundation.errors import InputError
from nfbench.foundation.owner import host_name

_ATTEMPTS = 20  # to write into a folder that others remove once it is empty
_LONGEST = 100  # characters of a file's name that its partial file's name repeats: both fit into 255


class UnreadableError(InputError):
    """A file that is there and cannot be read: no permission, no regular file, too large, or a device's error."""


class AbsentError(UnreadableError):
    """A file that is not there."""


def replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all; once this returns it outlasts a loss of power.

    The content is flushed to the disk before the file gets its name (``fsync``), and so is the name in its folder.

    Args:
        file: its folder is made where it is missing.
        content: all of it.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        make_folder(file.parent)
        with partial(file) as (handle, part):
            write_all(handle, content)
            os.fsync(handle)
            part.replace(file)
        flush_folder(file.parent)
    except (OSError, ValueError) as error:  # ValueError: a path without a name, or with characters that no file has
        why = dangling_link(file.parent) or getattr(error, "strerror", None) or error
        raise InputError(f"cannot write {file}: {why}") from None


def write_all(handle: int, content: bytes) -> None:
    """Write the whole of a content into an open file.

    Args:
        handle: of the file.
        content: all of it.
    """
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system can; some refuse ``fsync`` of a folder.

    Args:
        folder: in which a file has got its name.
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def partial(file: Path) -> Iterator[tuple[int, Path]]:
    """A new locked file beside `file` that nobody looks for; it is removed after the block unless it was renamed.

    Args:
        file: what the content shall become; its folder exists.

    Yields:
        A handle that can be written, and the new file's path.

    Raises:
        OSError: the folder cannot be written.
    """
    handle, part = _create_locked(file)
    try:
        yield handle, part
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        os.close(handle)


def hidden_beside(file: Path, suffix: str = ".part") -> Path:
    """A name beside a file that nobody else has: it carries this host, this process and a random part.

    Args:
        file: what the content is or becomes.
        suffix: ``.part`` for what is removed with the process that made it.

    Returns:
        ``.<name>.<host>.<process>.<random><suffix>``.
    """
    return file.with_name(f".{file.name[:_LONGEST]}.{host_name()}.{os.getpid()}.{secrets.token_hex(4)}{suffix}")


def read(file: Path, most: int, kind: str = "file") -> bytes:
    """The content of a regular file, or of one that a link leads to.

    Args:
        file: what is read.
        most: bytes that such a file may have.
        kind: what the file is called in messages.

    Returns:
        All bytes.

    Raises:
        AbsentError: there is no such file.
        UnreadableError: a folder, pipe or device, too large, or not to be read.
    """
    try:
        _check_regular(os.stat(file), file, kind)  # noqa: PTH116  before it is opened: to open a device may move it
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            _check_regular(status, file, kind)
            if status.st_size > most:
                raise UnreadableError(f"cannot read {kind} {file}: it is larger than {most:,} bytes")
            return stream.read()
    except InputError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise AbsentError(f"cannot read {kind} {file}: No such file or directory") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise UnreadableError(f"cannot read {kind} {file}: {getattr(error, 'strerror', None) or error}") from None


def set_aside(file: Path) -> Path:
    """Rename a file that is not what its name says, so that nothing is written over it.

    Args:
        file: what is renamed.

    Returns:
        Its new name: ``<name>.damaged``, or ``<name>.damaged-2`` and so on where that is taken.

    Raises:
        InputError: it cannot be renamed.
    """
    taken = {entry.name for entry in entries(file.parent)}
    names = (f"{file.name}.damaged{'' if number == 1 else f'-{number}'}" for number in range(1, len(taken) + 2))
    new = file.with_name(next(name for name in names if name not in taken))
    try:
        file.rename(new)
    except OSError as error:
        raise InputError(f"cannot rename {file} to {new.name}: {error.strerror}") from None
    flush_folder(file.parent)
    return new


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing; their names outlast a loss of power.

    Args:
        folder: to be made.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    for _ in range(_ATTEMPTS):
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError, FileNotFoundError):  # others make it, or remove the one above it
            folder.mkdir()
        if folder.is_dir():
            flush_folder(folder.parent)
            return
    if os.path.lexists(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted; nothing where there is no folder (`Path.glob` is silent where it may not look).

    Args:
        folder: to be listed.

    Returns:
        Paths.

    Raises:
        InputError: the folder cannot be read.
    """
    return [folder / entry.name for entry in scan(folder)]


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name; as `entries`, for folders so large that paths would take long to make.

    Args:
        folder: to be listed.

    Returns:
        An entry for each file and folder in it.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
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
    try:
        make_folder(root)
        with partial(root / "probe"):
            pass
    except (OSError, ValueError) as error:
        reason = dangling_link(root) or getattr(error, "strerror", None) or error
        raise InputError(f"cannot write to folder {str(root)!r}: {reason}; expected a writable folder") from None


def dangling_link(path: Path) -> str:
    """Which symbolic link on the way to a path leads nowhere.

    Args:
        path: of a file or a folder.

    Returns:
        A clause that names the link and where it leads; empty where there is none.
    """
    for part in (path, *path.parents):
        if part.is_symlink() and not part.exists():
            return f"{str(part)!r} is a link to {str(part.readlink())!r}, which is not there"
    return ""


def _create_locked(file: Path) -> tuple[int, Path]:
    """A new partial file of a name that nobody else has, locked; another where `sweep` came between the two."""
    attempts = 0
    while True:
        part = hidden_beside(file)
        try:
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
            make_folder(file.parent)
            continue
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, part
        os.close(handle)


def _check_regular(status: os.stat_result, file: Path, kind: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        is_folder = stat.S_ISDIR(status.st_mode)
        raise UnreadableError(f"cannot read {kind} {file}: it is a {'folder' if is_folder else 'pipe or device'}")
