"""Leases: exactly one holder, takeover by exactly one, and no machine's clock in between."""

import os
import threading
import time

import pytest

from nfbench.foundation import leases
from nfbench.foundation.errors import InputError
from nfbench.foundation.file_clock import file_clock
from nfbench.foundation.leases import Kept, Lease, claim, look, remove_stale
from nfbench.foundation.owner import Owner, has_ended, this_process

DEAD = Owner("elsewhere", 1, "another machine", 1)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "leases" / "work.lease"


def aged(file, seconds):
    """Make a lease look as if it was renewed so long ago."""
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


def at_once(count, function):
    """What so many threads get that call a function at the same moment."""
    barrier, answers = threading.Barrier(count), []

    def call():
        barrier.wait()
        answers.append(function())

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_many_claims_one_succeeds(file):
    """Eight threads claim at the same moment, twenty times; one lease comes out, and its folder goes with it."""
    for _ in range(20):
        held = [lease for lease in at_once(8, lambda: claim(file, {})) if lease is not None]
        assert len(held) == 1
        assert look(file).token == held[0].token
        held[0].release()
        assert not file.parent.exists()


def test_a_stale_lease_is_taken_over_by_exactly_one(file, monkeypatch):
    """However long each of eight threads waits between its look and its rename, one has the lease at the end."""
    take_away = leases._take_away

    def slowly(stale):
        time.sleep(0.002 * (threading.get_ident() // 64 % 5))
        return take_away(stale)

    monkeypatch.setattr(leases, "_take_away", slowly)
    for _ in range(40):
        assert claim(file, {}, 60) is not None
        aged(file, 61)
        held = [lease for lease in at_once(8, lambda: claim(file, {}, 60)) if lease is not None]
        assert len(held) == 1
        assert held[0].renew() is Kept.HELD
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        held[0].release()


def test_a_fresh_lease_is_not_taken_for_the_stale_one_before_it(file):
    """Who comes late to a takeover puts the next holder's lease back, and one that was renewed meanwhile."""
    first = claim(file, {}, 60)
    aged(file, 61)
    seen = look(file)
    second = claim(file, {}, 60)
    assert not leases._take_away(seen)
    assert (look(file).token, second.renew(), first.renew()) == (second.token, Kept.HELD, Kept.LOST)
    aged(file, 61)
    seen = look(file)
    second.renew()
    assert not leases._take_away(seen)
    assert look(file).token == second.token


def test_who_dies_in_a_takeover_is_followed_by_another(file, monkeypatch):
    """The right to a takeover is a lease too: one whose holder has ended is taken over in its turn."""
    assert claim(file, {}, 60) is not None
    aged(file, 61)
    child = os.fork()
    if not child:
        leases._take_away = lambda _: os._exit(0)
        claim(file, {}, 60)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(file.parent.glob("*.takeover"))) == 1
    assert claim(file, {}, 60) is not None
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_lease_of_a_process_that_has_ended_is_stale_at_once(file, monkeypatch):
    """On its own machine a process is known to have ended; of another machine's nobody can tell."""
    child = os.fork()
    if not child:
        claim(file, {}, 3600)
        os._exit(0)
    while look(file) is None:
        time.sleep(0.01)
    os.waitpid(child, 0)
    assert look(file).is_stale(file_clock(file.parent))
    assert not has_ended(DEAD)
    assert claim(file, {}, 3600) is not None
    assert claim(file, {}, 3600) is None
    monkeypatch.setattr(leases, "this_process", lambda: DEAD)
    assert Lease(file, {}, 60).owner == DEAD
    assert this_process().process == os.getpid()


def test_a_clock_that_is_an_hour_off_makes_no_lease_stale(file, monkeypatch):
    """Ages are differences of the file system's own times, whatever this machine's clock says."""
    lease = claim(file, {}, 60)
    clock = time.time
    for off in (-3600.0, 3600.0):
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda off=off: clock() + off)
            patched.setattr(time, "time_ns", lambda off=off: int(1e9 * (clock() + off)))
            assert claim(file, {}, 60) is None
            assert lease.renew() is Kept.HELD
    aged(file, 61)
    assert claim(file, {}, 60) is not None


def test_a_holder_finds_out_what_became_of_its_lease(file):
    """It is held, absent after somebody has given it back, or lost; a lost one is not removed by who held it."""
    lease = claim(file, {"done": 0}, 60)
    lease.about["done"] = 5
    assert (lease.renew(), look(file).about["done"]) == (Kept.HELD, 5)
    file.unlink()
    assert (lease.renew(), lease.create(), lease.renew()) == (Kept.ABSENT, True, Kept.HELD)
    aged(file, 61)
    other = claim(file, {}, 60)
    assert lease.renew() is Kept.LOST
    lease.release()
    assert look(file).token == other.token


def test_a_torn_lease_holds_until_it_is_old(file):
    """A file without content, of a process killed between its two steps, keeps nobody out for ever."""
    file.parent.mkdir()
    file.touch()
    assert claim(file, {}) is None
    assert not remove_stale(file)
    aged(file, 121)
    assert claim(file, {}) is not None
    file.write_text('{"token": 3, "owner": "nobody", "seconds": "long"}')
    assert (look(file).owner, look(file).seconds) == (None, 120.0)


def test_what_is_said_of_the_work_never_outgrows_a_block(file):
    """A lease is written at once, in 1024 bytes, however long the names in it are."""
    claim(file, {"name": "x" * 5000, "more": {str(number): number for number in range(500)}})
    assert file.stat().st_size == 1024
    assert look(file).about == {}


def test_a_folder_that_cannot_be_written_is_one_line(file, tmp_path, monkeypatch):
    """A full disk leaves no empty lease, which would hold up everybody."""
    monkeypatch.setattr(leases.os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match=r"cannot write .*work.lease: No space left on device; expected"):
        claim(file, {})
    assert not file.exists()
