"""Several families at once, and batteries that are ended before their checks are decided."""

import json
import time
import weakref

import pytest
import torch
from support.commands import run_command
from support.synthetic_verdicts import verdict as stored_verdict

import nfbench
from nfbench import InputError
from nfbench.posteriors.contract import Identity
from nfbench.present.tables.verdicts import compared, words
from nfbench.records.verdicts import verdicts
from nfbench.verification.check import CHECKS
from nfbench.verification.several import Options, several
from nfbench.verification.subjects import subject
from nfbench.verification.time_limit import OutOfTime, TimeLimit
from nfbench.verification.verify import battery

TWO = """
import os
from nfbench.posteriors.contract import Identity

def first(dim, depth):
    return Identity(dim)

def second(dim, depth):
    return Identity(dim)

def dead(dim, depth):
    os._exit(3)
"""


@pytest.fixture
def file(tmp_path):
    """A user's file with two right flows and one that ends the process."""
    place = tmp_path / "two.py"
    place.write_text(TWO)
    return place


class Endless(Identity):
    """A flow whose inverse takes longer than anybody waits, and catches all errors meanwhile."""

    def __init__(self, dim, depth):
        super().__init__(dim)

    def inverse(self, z, theta):
        for _ in range(300):
            try:
                time.sleep(0.1)
            except Exception:
                continue
        return z, z.new_zeros(z.shape[:-1])


def test_what_has_no_end_is_not_decided():
    """The check that runs when the time is over is interrupted and named; those before it keep what they found."""
    begin = time.perf_counter()
    only = ["same seed, same draw", "density at draws", "start"]
    verdict = battery(subject(Endless, 2, 1), [2], only=only, seconds=3)
    assert time.perf_counter() - begin < 20
    assert [result.status for result in verdict.results] == ["pass", "not decided", "not decided"]
    assert verdict.undecided == ("density at draws", "start")
    assert (verdict.passed, verdict.failures) == (False, {})
    assert "not decided within 3 s" in str(verdict)
    assert verdict.last_line.startswith("Endless: not decided: density at draws, start (")


def test_a_failure_is_kept_when_the_time_is_over(monkeypatch):
    """Only the search for a smaller counterexample ends with the time, not what was found before."""
    monkeypatch.setattr("nfbench.verification.verify._smaller", lambda *_: time.sleep(30))

    class Doubled(Endless):
        def forward(self, z, theta):
            return 2 * z, z.new_zeros(z.shape[:-1])

    verdict = battery(subject(Doubled, 2, 1), [2], only=["ln|det|"], seconds=2)
    assert list(verdict.failures) == ["ln|det|"]
    assert verdict.results[0].code


class Slow:
    """Takes longer than the limit to put something back, as a block and as a finaliser."""

    ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        begin = time.perf_counter()
        while time.perf_counter() < begin + 0.08:
            pass
        self.ended = True


@pytest.mark.parametrize("kind", ["block", "callback"])
def test_an_interrupt_waits_for_what_is_being_put_back(kind):
    """The end of a `with` block and the callback of a weak reference are done before the time is over."""
    slow = Slow()

    def block():
        with TimeLimit(0.03).enforced():
            if kind == "block":
                with slow:
                    pass
            else:
                thing = Slow()
                watch = weakref.ref(thing, lambda _: slow.__exit__())
                del thing
                assert watch() is None
            time.sleep(10)

    with pytest.raises(OutOfTime):
        block()
    assert slow.ended


def test_an_interrupt_leaves_no_mode_behind():
    """What the signal keeps from being put back, as the end of a block without gradients, is put back by the limit."""

    def block():
        with TimeLimit(0.05).enforced():
            torch.set_grad_enabled(False)
            time.sleep(10)

    with pytest.raises(OutOfTime):
        block()
    assert torch.is_grad_enabled()


def test_seconds_are_positive():
    """A limit of no time is refused."""
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match=r"seconds=.*: expected a positive number"):
            nfbench.verify("gaussian", seconds=wrong)


def test_the_command_says_and_stores_what_is_not_decided(tmp_path, capsys):
    """Exit code 0, as nothing failed; every check is in the record, and tables do not call that a pass."""
    words_of_it = ["umnn:K=1", "--dim", 2, "--seconds", 0.05, "--results", tmp_path]
    code, out, _ = run_command(capsys, "verify", *words_of_it)
    assert code == 0
    assert "not decided within 0.05 s" in out
    (stored,) = verdicts(tmp_path)
    left = stored.with_status("not decided")
    assert len(stored.checks) == len(CHECKS)
    assert "finite" in left
    assert words(stored) == f"{len(left)} not decided"
    assert "0 of 1 pass" in compared([stored]).tables[0].title
    assert "finite (no end)" in compared([stored]).tables[0].rows[0][4]


def test_a_verdict_with_failures_and_what_is_not_decided():
    """Both are counted."""
    assert words(stored_verdict(failed=["finite"], undecided=["round trip"])) == "1 failed, 1 not decided"


def test_families_are_verified_side_by_side(file, capsys):
    """Two processes give what one gives, in the order of the command."""
    named = [f"{file}:{name}" for name in ("second", "first")]
    outcomes = {}
    for jobs in (1, 2):
        code, out, _ = run_command(capsys, "verify", *named, "--dim", 1, "--json", "--jobs", jobs)
        assert code == 0
        outcomes[jobs] = [
            (each["name"], [(row["check"], row["status"], row["detail"]) for row in each["checks"]])
            for each in json.loads(out)
        ]
    assert [name for name, _ in outcomes[1]] == named
    assert outcomes[1] == outcomes[2]


def test_a_process_that_dies_is_one_line(file):
    """Where code under test ends its process, that is said, and nothing hangs."""
    with pytest.raises(InputError, match="its process ended, or that of a family beside it"):
        list(several([f"{file}:dead", f"{file}:first"], Options(dim=1), jobs=2))
