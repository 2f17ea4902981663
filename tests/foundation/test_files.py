"""Files: written whole and for good, read only where they are files, and no remains of killed processes."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nfbench.foundation import files
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import AbsentError, UnreadableError, check_writable, partial, read, replace
from nfbench.foundation.sweep import sweep


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_content_and_name_are_flushed_before_the_call_returns(tmp_path, monkeypatch):
    """The file is flushed while it has its partial name, and its folder after it has its own."""
    events = []
    flush = os.fsync

    def noted(handle):
        events.append((Path(f"/proc/self/fd/{handle}").readlink().name, (tmp_path / "a").exists()))
        flush(handle)

    monkeypatch.setattr(os, "fsync", noted)
    replace(tmp_path / "a", b"content")
    (part, before), (folder, after) = events
    assert re.fullmatch(rf"\.a\.[\w-]+\.{os.getpid()}\.[0-9a-f]{{8}}\.part", part)
    assert (before, folder, after) == (False, tmp_path.name, True)
    assert (tmp_path / "a").read_bytes() == b"content"


def test_the_names_of_new_folders_are_flushed_too(tmp_path, monkeypatch):
    """Folders that a write makes on its way outlast a loss of power as well."""
    flushed = []
    monkeypatch.setattr(files, "flush_folder", flushed.append)
    replace(tmp_path / "x" / "y" / "a", b"")
    assert flushed == [tmp_path, tmp_path / "x", tmp_path / "x" / "y"]


def test_writers_with_one_process_id_do_not_meet(tmp_path, monkeypatch):
    """Two containers that number their processes alike, and call their host alike, write to files of their own."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    place = tmp_path / "a"
    with partial(place) as (_, first), partial(place) as (_, second):
        assert first != second
    torn = []

    def write(letter):
        for _ in range(50):
            replace(place, letter * 100_000)

    def look():
        with contextlib.suppress(AbsentError):
            content = read(place, 200_000)
            torn.extend([content] if len(content) != 100_000 or len(set(content)) != 1 else [])

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        look()
    assert torn == []
    assert names(tmp_path) == ["a"]


def test_the_remains_of_a_killed_process_are_swept_and_those_of_a_living_one_are_not(tmp_path):
    """A partial file goes once its writer has ended; one that is being written stays, and so do all other files."""
    program = (
        "import os, sys; from pathlib import Path; from nfbench.foundation.files import partial\n"
        "with partial(Path(sys.argv[1])) as (handle, part): os.write(handle, b'half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.json")], check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / ".mine.part").write_bytes(b"")
    with partial(tmp_path / "b.json") as (_, living):
        assert sweep(tmp_path) == [left]
        assert names(tmp_path) == sorted([".mine.part", living.name])
    assert sweep(tmp_path / "absent") == []


def test_a_writer_whose_file_was_swept_takes_another(tmp_path, monkeypatch):
    """A sweep between the making of a partial file and its lock costs the writer nothing."""
    lock, swept = files.fcntl.flock, []

    def late(handle, operation):
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        lock(handle, operation)

    monkeypatch.setattr(files.fcntl, "flock", late)
    replace(tmp_path / "a", b"content")
    assert swept
    assert read(tmp_path / "a", 10) == b"content"


def test_names_as_long_as_a_file_system_takes(tmp_path):
    """A file whose name has 255 characters can be written."""
    replace(tmp_path / ("n" * 255), b"x")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "it is a folder"),
        (os.mkfifo, "it is a pipe or device"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a pipe or device"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.write_bytes(bytes(11)), "larger than 10 bytes"),
    ],
    ids=["absent", "folder", "pipe", "device", "loop", "large"],
)
def test_what_is_no_file_is_not_waited_for(tmp_path, make, said):
    """A folder, a pipe that nobody writes to, an endless device, a loop of links: one line that says what it is."""
    make(tmp_path / "odd")
    with pytest.raises(UnreadableError, match=rf"^cannot read thing {tmp_path}/odd: .*{said}") as caught:
        read(tmp_path / "odd", 10, "thing")
    assert isinstance(caught.value, InputError)


def test_a_link_to_a_file_is_read(tmp_path):
    """Data sets and records may be links to regular files."""
    (tmp_path / "a").write_bytes(b"1234567890")
    (tmp_path / "b").symlink_to("a")
    assert read(tmp_path / "b", 10) == b"1234567890"


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    """One line says that it may not be read; it is not taken for one that is not there."""
    (tmp_path / "a").write_bytes(b"")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(UnreadableError, match="Permission denied") as caught:
        read(tmp_path / "a", 10)
    assert not isinstance(caught.value, AbsentError)


def test_a_folder_is_probed_without_a_trace(tmp_path):
    """A check of a folder makes it and leaves nothing in it."""
    check_writable(tmp_path / "x" / "y")
    assert names(tmp_path / "x" / "y") == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot write to folder '.*file': Not a directory"):
        check_writable(tmp_path / "file")


def test_a_folder_that_others_remove_once_it_is_empty_is_made_again(tmp_path, monkeypatch):
    """Somebody removes a folder that is empty between its making and the look at it: it is made again."""
    make, made = Path.mkdir, []

    def and_gone(folder, *arguments, **options):
        make(folder, *arguments, **options)
        if not made:
            folder.rmdir()
        made.append(folder)

    monkeypatch.setattr(Path, "mkdir", and_gone)
    replace(tmp_path / "shared" / "file", b"content")
    assert (tmp_path / "shared" / "file").read_bytes() == b"content"
    assert len(made) == 2
