"""Leases: who works on what in a folder that several machines share, with nothing but that folder between them.

A lease is a file that exactly one process can make (``O_EXCL``). It says who holds it and how far the work is, and its
time of change is renewed while the holder lives. One whose holder is known to have ended, or that was not renewed for
as long as it says itself, is stale and may be taken over. Only who holds another lease, named after the stale one's
random token, may remove that, so that a takeover has exactly one winner.

Ages are differences of two times that the *file system* has set, so that no machine's clock matters. A lease keeps two
processes from doing the same work; it cannot exclude it, as a process that was stopped for long does not know it yet
when it goes on. What is worked out is therefore published first-wins (`nfbench.records.publish`).
"""

import contextlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from nfbench.foundation.errors import InputError
from nfbench.foundation.file_clock import file_clock
from nfbench.foundation.files import hidden_beside, make_folder
from nfbench.foundation.owner import Owner, has_ended, this_process

SUFFIX = ".lease"
TAKEOVER = ".takeover"  # ends the name of a lease that gives the right to remove another
SECONDS = 120.0  # without a sign of life after which a lease is stale; clients of NFS may see changes a minute late
RENEWALS = 6  # within that time
_TAKEOVER_SECONDS = 15.0  # in which a takeover is done, or is another's
_SIZE = 1024  # bytes of a lease: one block, written at once
_ATTEMPTS = 20  # to make a file in a folder that others remove once it is empty
_LONGEST = 300  # characters of what a lease says of the work


class Kept(Enum):
    """What a renewal found."""

    HELD = "held"  # or not to be told, as the folder cannot be read
    ABSENT = "absent"  # taken over and given back since, or removed with its folder
    LOST = "lost"  # somebody else holds it


@dataclass(frozen=True)
class Held:
    """What stands in the file of a lease.

    Attributes:
        file: the lease.
        token: random text, other for each lease.
        owner: who holds it; None where the file does not say, as it is torn.
        seconds: without renewal after which it is stale.
        changed: time of its last renewal in nanoseconds, of the file system's clock.
        about: what the work is, and how far.
        since: time at which it was claimed in seconds, of the file system's clock; 0 where the file does not say.
    """

    file: Path
    token: str
    owner: Owner | None
    seconds: float
    changed: int
    about: dict[str, Any]
    since: float

    def age(self, now: float) -> float:
        """Seconds since the last renewal.

        Args:
            now: of the file system's clock, from `file_clock`.

        Returns:
            0 or more.
        """
        return max(0.0, now - self.changed / 1e9)

    def is_stale(self, now: float) -> bool:
        """Whether the work may be taken over.

        Args:
            now: of the file system's clock, from `file_clock`.

        Returns:
            True where its holder has ended or was silent for too long.
        """
        return self.age(now) > self.seconds or (self.owner is not None and has_ended(self.owner))


class Lease:
    """A lease that this process holds.

    Args:
        file: of the lease.
        about: what the work is, for whoever looks.
        seconds: without renewal after which others may take over.
    """

    def __init__(self, file: Path, about: dict[str, Any], seconds: float) -> None:
        self.file, self.about, self.seconds = file, about, seconds
        self.token = secrets.token_hex(8)
        self.owner, self.since = this_process(), 0.0

    def create(self) -> bool:
        """Make the file, if there is none.

        Returns:
            Whether this call has made it.

        Raises:
            OSError: the folder cannot be written.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
                break
            except FileExistsError:
                return False
            except FileNotFoundError:
                if attempt == _ATTEMPTS:
                    raise
                make_folder(self.file.parent)
        try:
            self.since = self.since or os.fstat(handle).st_mtime
            os.write(handle, self._content())
        except OSError:  # no space: an empty lease would hold up everybody
            self.file.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        return True

    def renew(self) -> Kept:
        """Show that the holder lives, and how far the work is.

        Returns:
            Whether the lease is still this process's own.
        """
        try:
            handle = os.open(self.file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return Kept.ABSENT if self.file.parent.is_dir() else Kept.HELD
        except OSError:
            return Kept.HELD
        try:
            if _parse(os.pread(handle, _SIZE, 0)).get("token", self.token) != self.token:
                return Kept.LOST
            with contextlib.suppress(OSError):  # the sign of life needs no space
                os.pwrite(handle, self._content(), 0)
            os.utime(handle)  # the time is the file system's own
        except OSError:
            pass
        finally:
            os.close(handle)
        return Kept.HELD

    def release(self, *, keep_folder: bool = False) -> None:
        """Remove the file, if it is still this process's own, and its folder after the last one.

        Args:
            keep_folder: leave the folder, as another file follows.
        """
        there = look(self.file)
        if there is not None and there.token == self.token:
            with contextlib.suppress(OSError):
                self.file.unlink(missing_ok=True)
        if not keep_folder:
            with contextlib.suppress(OSError):  # others are at work
                self.file.parent.rmdir()

    def _content(self) -> bytes:
        said = {"token": self.token, "owner": self.owner, "seconds": self.seconds, "since": self.since}
        about = {key: value[:_LONGEST] if isinstance(value, str) else value for key, value in self.about.items()}
        content = json.dumps(said | {"about": about}).encode()
        if len(content) > _SIZE:
            content = json.dumps(said | {"about": {}}).encode()
        return content.ljust(_SIZE)


def claim(file: Path, about: dict[str, Any], seconds: float = SECONDS) -> Lease | None:
    """Make a lease, or take a stale one over.

    Args:
        file: of the lease, which everybody who does the same work names alike.
        about: what the work is, for whoever looks.
        seconds: without renewal after which others may take over.

    Returns:
        The lease; None where somebody else holds it, or has just taken it over.

    Raises:
        InputError: the folder cannot be written.
    """
    lease = Lease(file, about, seconds)
    try:
        if lease.create():
            return lease
        there = look(file)
        return lease if there is not None and _take_over(there) and lease.create() else None
    except FileNotFoundError:  # others remove the folder whenever it is empty
        return None
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}; expected a writable folder") from None


def remove_stale(file: Path) -> bool:
    """Remove a lease that nobody holds any more, and its folder after the last one.

    Args:
        file: of the lease; it need not exist.

    Returns:
        Whether this call has removed it.
    """
    there = look(file)
    removed = False
    with contextlib.suppress(OSError):
        removed = there is not None and _take_over(there)
    with contextlib.suppress(OSError):  # others are at work
        file.parent.rmdir()
    return removed


def look(file: Path) -> Held | None:
    """What a lease says.

    Args:
        file: of the lease.

    Returns:
        Who holds it; None where there is none that can be read.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:  # an opened file is asked, as a shared folder's names may show older times
        content, changed = _parse(os.read(handle, _SIZE)), os.fstat(handle).st_mtime_ns
    except OSError:
        return None
    finally:
        os.close(handle)
    try:
        owner = Owner(*content["owner"]) if content else None
        seconds, since = float(content.get("seconds", SECONDS)), float(content.get("since", 0))
    except (KeyError, TypeError, ValueError):
        content, owner, seconds, since = {}, None, SECONDS, 0.0
    about = content.get("about")
    return Held(
        file, str(content.get("token")), owner, seconds, changed, about if isinstance(about, dict) else {}, since
    )


def _take_over(seen: Held) -> bool:
    """Remove a lease if it is stale; whether this call, and no other, has done so."""
    if not seen.is_stale(file_clock(seen.file.parent)):
        return False
    token = re.sub(r"[^\w-]", "-", seen.token)[:32]
    right = claim(seen.file.with_name(f"{seen.file.name}.{token}{TAKEOVER}"), {}, _TAKEOVER_SECONDS)
    if right is None:
        return False
    try:  # its name was free as nobody is at it, or as somebody has done it: then another lease is there, or none
        there = look(seen.file)
        same = there is not None and (there.token, there.changed) == (seen.token, seen.changed)
        return same and _take_away(seen)
    finally:
        right.release(keep_folder=True)


def _take_away(stale: Held) -> bool:
    """Rename a stale lease away; one that its holder has renewed at this moment is put back.

    Returns:
        Whether this call, and no other, has taken the stale lease.
    """
    aside = hidden_beside(stale.file)
    try:
        stale.file.rename(aside)
    except FileNotFoundError:
        return False
    try:
        taken = look(aside)
        if taken is not None and (taken.token, taken.changed) == (stale.token, stale.changed):
            return True
        with contextlib.suppress(OSError):  # the next has been made already; this one's holder will see it
            os.link(aside, stale.file)
        return False
    finally:
        aside.unlink(missing_ok=True)


def _parse(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
