"""Files that get a name only where nothing has it yet, so that of several processes the first one gives the content."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from nfbench.foundation.files import partial, write_all

_WITHOUT_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # file systems that have no hard links


def take_name(part: Path, file: Path) -> bool:
    """Give a file a second name, by a hard link, if nothing has that name.

    Args:
        part: the file.
        file: the name that it is to have; its folder exists.

    Returns:
        Whether it has the name now, also where an earlier call has given it.

    Raises:
        OSError: the folder cannot be written.
    """
    try:
        os.link(part, file)
    except FileExistsError:
        return _is_same(part, file)  # a shared folder may do what is asked, and answer twice
    except FileNotFoundError:
        if not part.exists():
            return False
        raise
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        if file.exists():
            return False
        part.rename(file)
    return True


@contextlib.contextmanager
def part_of(file: Path, content: bytes) -> Iterator[Path]:
    """A hidden file with a content that is on the disk, which `take_name` can give its name; it goes after the block.

    Args:
        file: what the content may become; its folder exists.
        content: all of it.

    Yields:
        The hidden file.

    Raises:
        OSError: the folder cannot be written.
    """
    with partial(file) as (handle, part):
        write_all(handle, content)
        os.fsync(handle)
        yield part


def second_names(file: Path, end: str, taken: int) -> Iterator[Path]:
    """Names beside a file for what is kept of the same name: ``<name><end>``, ``<name><end>-2`` and so on.

    Args:
        file: whose name is taken.
        end: such as ``.differs``.
        taken: files in the folder; one more name than that is given.

    Yields:
        Paths, whether a file has them or not.
    """
    yield from (file.with_name(f"{file.name}{end}{'' if n == 1 else f'-{n}'}") for n in range(1, taken + 2))


def _is_same(part: Path, file: Path) -> bool:
    with contextlib.suppress(OSError):
        return part.samefile(file)
    return False
