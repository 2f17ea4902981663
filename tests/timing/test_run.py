"""Contenders and their outcomes, every family in every mode, what a run records and what it survives."""

import itertools
import math
import os

import pytest
import torch
from support.families import specs
from support.timed import MODES, QUICK, case_of, planned

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import BACKEND_VARIABLE, backend
from nfbench.posteriors.build import posterior
from nfbench.posteriors.contract import Flow
from nfbench.records import timings
from nfbench.specification.registry import posteriors
from nfbench.timing.contenders.contract import BASE, CONTENDERS, Contender, Work, contenders, inputs, register, versus
from nfbench.timing.contenders.house import NFBENCH, REFERENCE
from nfbench.timing.measure.clock import clock
from nfbench.timing.measure.machine import Ceilings
from nfbench.timing.run import run


@pytest.fixture
def extra(monkeypatch):
    """Contenders that a test registers are gone after it."""
    contenders()
    monkeypatch.setattr(CONTENDERS, "_entries", dict(CONTENDERS._entries))

    def add(name, build, **rest):
        return register(Contender(name, name, build, **rest))

    return add


def test_the_reference_runs_plain_chains_whatever_the_user_set(monkeypatch):
    """The variable that chooses kernels is `reference` within a call of the reference, and as before after it."""
    seen = []
    work = REFERENCE.build(case_of("gaussian", "sample"), inputs(case_of("gaussian", "sample")))
    monkeypatch.setattr(
        "nfbench.kernels.diagonal.reference.standard_normal_log_prob", lambda z: seen.append(backend()) or z.sum(-1)
    )
    for value in ("auto", None):
        monkeypatch.delenv(BACKEND_VARIABLE, raising=False)
        if value:
            monkeypatch.setenv(BACKEND_VARIABLE, value)
        work.run()
        assert os.environ.get(BACKEND_VARIABLE) == value
    assert seen == ["reference", "reference"]


def test_own_modes_do_what_they_say():
    """`forward` keeps a graph, `sample` and `inverse` none; a second gradient does not add to the first."""
    given = inputs(case_of(draws=4))
    built = {mode: NFBENCH.build(case_of(mode=mode, draws=4), given) for mode in MODES}
    assert built["forward"].run()["z"].requires_grad
    assert not built["sample"].run()["z"].requires_grad
    assert not built["inverse"].run()["log_q"].requires_grad
    first = {name: value.clone() for name, value in built["backward"].outcome().items()}
    again = built["backward"].outcome()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert torch.equal(built["inverse"].outcome()["log_q"], built["inverse"].run()["log_q"])


def test_contenders_are_found_with_nfbench_first():
    """Every module registers its own; nfbench leads, and each group's name stands for its members."""
    names = list(contenders())
    assert names[0] == BASE
    assert names[:6] == [BASE, "textbook", "compile", "split", "reference", "bare"]
    assert versus(["reference"]) == [BASE, "reference"]
    assert versus([]) == versus([BASE]) == [BASE]
    peers = [name for name, one in contenders().items() if one.group == "peers"]
    assert versus(["peers, reference"]) == [BASE, "reference", *peers]
    with pytest.raises(InputError, match="'refrence'; did you mean reference"):
        versus(["refrence"])


def test_a_name_is_taken_once(extra):
    """Two contenders of one name would overwrite each other's records."""

    def first(case, given):
        return None

    def second(case, given):
        return None

    for label in ("mine", "textbook"):
        extra("mine", first, group=label)  # the same function again, as of a notebook's cell: the later one counts
    assert contenders()["mine"].group == "textbook"
    for name in ("mine", "nfbench"):
        with pytest.raises(ValueError, match=f"contender name '{name}' is taken by "):
            extra(name, second)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", specs(2))
def test_every_family_is_timed_in_every_mode(tmp_path, spec, mode):
    """The public API alone is enough: each registered family has a time, an agreement and a peak."""
    case = case_of(spec, mode, draws=4)
    (found,) = run([planned(case)], tmp_path, QUICK)
    if mode == "inverse" and not posterior(spec, 2).has_density:
        assert (found.status, "no such map or mode" in found.message) == ("lacking", True)
        return
    assert (found.status, found.message) == ("done", None)
    assert found.agreement.holds
    assert len(found.seconds) == 3
    assert found.spread.low <= found.spread.median <= found.spread.high
    assert found.ratio.median == 1
    assert found.peak_bytes > 0
    assert (found.facts.K, found.facts.family) == (posteriors.choose(spec).depth, posteriors.choose(spec).family)
    assert timings.read(tmp_path / "timing" / f"{found.id}.json") == found


@pytest.mark.parametrize("spec", specs(2))
def test_numbers_for_each_data_point_are_timed(tmp_path, spec):
    """Local variational parameters: a case of its own, with a floor where the family counts one."""
    case = case_of(spec, draws=1, batch=3, amortized=True)
    (found,) = run([planned(case)], tmp_path, QUICK)
    assert found.status == "done"
    q = posterior(spec, 2)
    cost = q.cost(1, 3, 3, gradient=True)
    assert (found.floor is None) == (cost is None)
    if cost is not None:
        assert (found.floor.bytes, found.floor.flops) == (4 * cost.numbers, cost.flops)
        assert found.floor.seconds > 0


def test_ceilings_are_measured_around_each_case(tmp_path, monkeypatch):
    """Before the rounds and after them, with the case's threads; the higher counts, and no other case's."""
    told = iter([Ceilings(5.0, 1.0), Ceilings(3.0, 2.0), Ceilings(1.0, 1.0), Ceilings(1.0, 0.5)])
    used = []
    monkeypatch.setattr(
        "nfbench.timing.run.ceilings", lambda *of: used.append((*of, torch.get_num_threads())) or next(told)
    )
    plan = [planned(case_of(mode="forward", threads=1)), planned(case_of(mode="sample", threads=2))]
    first, second = run(plan, tmp_path, QUICK)
    assert (first.floor.bandwidth, first.floor.rate) == (5.0, 2.0)
    assert (second.floor.bandwidth, second.floor.rate) == (1.0, 1.0)
    assert used == [("cpu", "float32", 1)] * 2 + [("cpu", "float32", 2)] * 2


def test_a_family_that_counts_nothing_has_no_floor(tmp_path, monkeypatch):
    """No floor is made up."""
    monkeypatch.setattr(type(posterior("planar:K=2", 2).flow), "cost", Flow.cost)
    (found,) = run([planned(case_of(mode="forward"))], tmp_path, QUICK)
    assert (found.status, found.floor) == ("done", None)


def test_what_contenders_raise_is_recorded_and_the_run_goes_on(tmp_path, extra):
    """Broken, incapable, absent and wrong contenders each have a record that says so; the others have their times."""

    def absent(case, given):
        raise ModuleNotFoundError("No module named 'flowlib'", name="flowlib")

    def breaks(case, given):
        raise RuntimeError("first line\nsecond line")

    def late(case, given):
        calls = itertools.count()

        def slow_to_fail():
            if next(calls) > 20:
                raise MemoryError("in the clock")

        work = NFBENCH.build(case, given)
        return Work(slow_to_fail, work.outcome)

    def wrong(case, given):
        work = NFBENCH.build(case, given)
        return Work(work.run, lambda: {name: value * 1.01 for name, value in work.outcome().items()})

    def unclear(case, given):
        work = NFBENCH.build(case, given)
        return Work(work.run, lambda: {name: value * math.nan for name, value in work.outcome().items()})

    def bound(case, given):
        return Work(lambda: None, dict)

    for build in (absent, breaks, late, wrong, unclear, bound):
        extra(build.__name__, build, distributions=("torch", "no-such-distribution"))
    extra("incapable", lambda case, given: None)
    names = ["absent", "breaks", "incapable", "late", "wrong", "unclear", "bound", "reference"]
    protocol = QUICK.model_copy(update={"rounds": 30, "budget": 1.0})
    seen = []
    found = {one.contender: one for one in run([planned(case_of(), *names)], tmp_path, protocol, done=seen.append)}
    assert list(found) == [BASE, *names]
    assert seen == list(found.values())
    assert {name: found[name].status for name in names[:4]} == {
        "absent": "lacking",
        "breaks": "failed",
        "incapable": "lacking",
        "late": "failed",
    }
    assert found["absent"].message == "flowlib is not installed: pip install nfbench[peers]"
    assert found["breaks"].message == "RuntimeError: first line"
    assert found["late"].message == "MemoryError: in the clock"
    for name in ("wrong", "unclear"):
        assert (found[name].status, found[name].ratio) == ("done", None)
        assert found[name].spread is not None
        assert not found[name].agreement.holds
    assert (found["bound"].status, found["bound"].ratio, found["bound"].agreement) == ("done", None, None)
    assert found["wrong"].versions.keys() == {"torch"}
    assert found["reference"].ratio is not None
    assert found["reference"].provenance["backend"] == "reference"
    stored = {one.contender: one for one in timings.timings(tmp_path)}
    assert stored.keys() == found.keys()
    assert math.isnan(stored["unclear"].agreement.error)
    assert len({one.run for one in stored.values()}) == 1


def test_no_ratio_to_an_nfbench_that_disagrees(tmp_path, monkeypatch):
    """A speed-up over wrong results says nothing, whichever side is wrong."""
    right = NFBENCH.build

    def wrong(case, given):
        work = right(case, given)
        return work._replace(outcome=lambda: {name: value + 1 for name, value in work.outcome().items()})

    monkeypatch.setitem(CONTENDERS._entries, BASE, Contender(BASE, BASE, wrong))
    found = run([planned(case_of(), "reference")], tmp_path, QUICK)
    assert [one.status for one in found] == ["done", "done"]
    assert [one.agreement.holds for one in found] == [False, True]
    assert [one.ratio for one in found] == [None, None]


def test_a_case_that_cannot_be_is_an_outcome(tmp_path):
    """A coupling in one dimension: one record that says why, and the next case is measured."""
    plan = [planned(case_of("nice:K=1", dim=1), "reference"), planned(case_of("gaussian", dim=1))]
    found = run(plan, tmp_path, QUICK)
    assert [(one.contender, one.status) for one in found] == [(BASE, "lacking"), (BASE, "done")]
    assert "dim=1" in found[0].message


def test_a_later_measurement_replaces_the_earlier(tmp_path):
    """One record a case and contender, of the latest run, whatever that run found."""
    (first,) = run([planned(case_of())], tmp_path, QUICK)
    (second,) = run([planned(case_of())], tmp_path, QUICK)
    assert (first.id, first.run != second.run) == (second.id, True)
    assert [one.run for one in timings.timings(tmp_path)] == [second.run]


def test_records_are_kept_when_a_run_is_interrupted(tmp_path):
    """A case's records are there before the next case begins."""

    def stop(timing):
        if timing.case.mode == "inverse":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([planned(case_of(mode=mode)) for mode in ("sample", "inverse", "forward")], tmp_path, QUICK, done=stop)
    assert {one.case.mode for one in timings.timings(tmp_path)} == {"sample", "inverse"}


def test_the_load_of_the_machine_is_recorded(tmp_path, monkeypatch):
    """Who reads a time later can see whether the machine had other work, as its load average said at the start."""
    monkeypatch.setattr(os, "getloadavg", lambda: (2.5, 0.0, 0.0))
    (found,) = run([planned(case_of())], tmp_path, QUICK)
    assert found.provenance["load"] == 2.5


def test_order_in_the_run_is_kept(tmp_path):
    """Tables show cases and contenders in the order of the profile."""
    found = run([planned(case_of(mode=mode), "reference") for mode in ("sample", "forward")], tmp_path, QUICK)
    assert [one.facts.order for one in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.gpu
def test_cuda_events_and_memory(tmp_path):
    """On a CUDA device the same protocol runs by events, and peak memory is the allocator's."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    case = case_of(device="cuda", draws=1000)
    found = run([planned(case, "reference")], tmp_path, QUICK)
    assert [one.status for one in found] == ["done", "done"]
    assert all(one.agreement.holds and one.peak_bytes >= 8000 for one in found)
    assert clock("cuda")(lambda: torch.ones(3, device="cuda"), 2) > 0
