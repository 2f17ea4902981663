"""Agreement before any ratio, contenders and their outcomes, every family in every mode, sizes from the registry."""

import itertools
import math
import os

import pytest
import torch
from support.families import own, specs
from support.timed import MODES, QUICK, case_of, planned

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import BACKEND_VARIABLE, backend
from nfbench.posteriors.build import posterior
from nfbench.posteriors.contract import Flow
from nfbench.records import timings
from nfbench.specification.registry import posteriors
from nfbench.timing import plan as sizes
from nfbench.timing.contenders.contract import BASE, CONTENDERS, Contender, Work, contenders, inputs, register, versus
from nfbench.timing.contenders.house import NFBENCH, REFERENCE
from nfbench.timing.measure.agreement import agreement, deviation, truth
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


# --- agreement


def outcome_of(case):
    given = inputs(case)
    return truth(case, given, [REFERENCE]), NFBENCH.build(case, given).outcome()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", specs(3))
def test_nfbench_agrees_with_the_float64_reference(spec, dtype):
    """Every family's own draws, densities and gradients lie within the tolerance, and all of them are compared."""
    case = case_of(spec, dtype=dtype, draws=20)
    true, got = outcome_of(case)
    assert set(got) == set(true.outcome)
    assert any(name.startswith("grad.") for name in got)
    found = agreement(case, Work(lambda: None, lambda: got), true)
    assert found.holds, found
    assert found.tolerance <= {"float32": 1e-3, "float64": 1e-11}[dtype]


@pytest.mark.parametrize("name", ["z", "log_q", "grad.source.theta"])
def test_a_wrong_outcome_never_agrees(name):
    """One number a thousandth off, one NaN, one infinity, or a wrong shape in any output is found."""
    case = case_of(draws=20)
    true, got = outcome_of(case)
    one = got[name]
    spoilt = one.detach().clone()
    spoilt.view(-1)[0] += 1e-3 * spoilt.abs().max()
    for wrong in (spoilt, torch.full_like(one, math.nan), one.detach() + math.inf, one.detach().flatten()[:-1]):
        result = agreement(case, Work(lambda: None, lambda wrong=wrong: got | {name: wrong}), true)
        assert not result.holds
    assert agreement(case, Work(lambda: None, lambda: got), true).holds


def test_fewer_gradients_are_compared_but_draws_must_be_there():
    """A contender that cannot give a gradient agrees by the rest; without z or ln q it does not."""
    case = case_of(draws=20)
    true, got = outcome_of(case)
    some = {"z": got["z"], "log_q": got["log_q"]}
    assert agreement(case, Work(lambda: None, lambda: some), true).holds
    for missing in ("z", "log_q"):
        rest = {name: value for name, value in got.items() if name != missing}
        assert not agreement(case, Work(lambda: None, lambda rest=rest: rest), true).holds
    assert agreement(case, Work(lambda: None, dict), true) is None


def test_an_output_that_nobody_knows_is_an_error():
    """A misspelt gradient would otherwise be compared with nothing."""
    case = case_of(draws=20)
    true, got = outcome_of(case)
    with pytest.raises(ValueError, match=r"grad\.thta"):
        agreement(case, Work(lambda: None, lambda: got | {"grad.thta": got["z"]}), true)


def test_deviation_is_relative_to_the_largest_value():
    """The worst output counts, each by its own size; a truth of zeros is met by zeros only."""
    wanted = {"a": torch.tensor([100.0, 1.0]), "b": torch.tensor([0.01])}
    assert deviation({"a": torch.tensor([101.0, 1.0])}, wanted, ("a",)) == pytest.approx(0.01)
    assert deviation({**wanted, "b": torch.tensor([0.02])}, wanted, ("a",)) == pytest.approx(1.0)
    nothing = {"a": torch.zeros(2)}
    assert deviation(nothing, nothing, ("a",)) == 0
    assert math.isnan(deviation({"a": torch.tensor([0.0, 1e-30])}, nothing, ("a",)))


def test_tolerance_follows_what_plain_pytorch_can():
    """Where plain float32 errs by more, a contender may too; but a tolerance never lets everything through."""
    flat = truth(case_of("planar:K=1"), inputs(case_of("planar:K=1")), [REFERENCE])
    case = case_of("planar:K=64", dim=8, draws=500)
    deep = truth(case, inputs(case), [REFERENCE])
    assert flat.tolerance < deep.tolerance <= 0.01
    double = case.model_copy(update={"dtype": "float64"})
    exact = truth(double, inputs(double), [REFERENCE])
    assert exact.tolerance == pytest.approx(deep.tolerance * 2.0**-29)


# --- contenders


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


# --- runs


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


# --- sizes


WHERE = sizes.Where("test", "cpu", "float32", 1)


def test_every_family_has_the_same_sizes():
    """The product of sizes and registered variants, K where there is one, each case once."""
    one = sizes.Sizes(modes=["forward", "backward"], dims=[2, 3], depths=[1, 4], draws=[5], batches=[1, 2])
    plan = sizes.plan([one, one], WHERE)
    variants = sum(len(entry.variants()) * (2 if entry.has_depth else 1) for entry in own())
    assert len(plan) == 2 * 2 * 2 * variants
    assert {item.case.posterior for item in plan} == {str(posteriors.choose(spec)) for spec in specs(1, 4)}
    assert len({item.case.model_dump_json() for item in plan}) == len(plan)


def test_specs_may_fix_the_depth():
    """A K in the spec stands; a spec without one gets the sizes'; contenders of equal cases are united."""
    one = sizes.Sizes(modes=["backward"], depths=[1, 4], vs=["reference"])
    plan = sizes.plan([one, one.model_copy(update={"vs": []})], WHERE, specs=["planar:K=7|8", "radial", "gaussian"])
    assert [item.case.posterior for item in plan] == [
        *("planar:K=7", "planar:K=8", "radial:K=1", "gaussian", "radial:K=4")
    ]
    assert all(item.versus == [BASE, "reference"] for item in plan)
    assert [item.versus for item in sizes.plan([one], WHERE, specs=["gaussian"], vs=["nfbench"])] == [[BASE]]


def test_steps_have_a_target_and_its_dimension():
    """A step's D is the target's; other modes of the same sizes have neither target nor several models."""
    one = sizes.Sizes(modes=["step", "forward"], dims=[7], seeds=[1, 3], target="u1")
    plan = [item.case for item in sizes.plan([one], WHERE, specs=["gaussian"])]
    assert [(case.mode, case.dim, case.seeds, case.target) for case in plan] == [
        ("step", 2, 1, "u1"),
        ("step", 2, 3, "u1"),
        ("forward", 7, 1, None),
    ]
    with pytest.raises(InputError, match="needs a target"):
        sizes.plan([sizes.Sizes(modes=["step"])], WHERE)


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_packaged_profiles_can_be_planned(name):
    """Every contender that the file names is known, and every registered family is in every mode."""
    plan = sizes.plan(sizes.profile(name).sizes, WHERE)
    seen = {(item.choice.entry.name, item.case.mode) for item in plan}
    assert {(entry.name, mode) for entry in own() for mode in (*MODES, "step")} <= seen


def test_profiles_and_modes_that_are_not_there_are_named():
    """One line each, with what there is."""
    with pytest.raises(InputError, match="no timing profile named 'papr'; known: smoke, quick, full"):
        sizes.profile("papr")
    one = [sizes.Sizes(modes=["forward", "sample"]), sizes.Sizes(modes=["forward"])]
    assert [kept.modes for kept in sizes.narrowed(one, ["sample"])] == [["sample"]]
    assert [kept.modes for kept in sizes.narrowed(one, [])] == [["forward", "sample"], ["forward"]]
    with pytest.raises(InputError, match="no case of mode inverse in this profile; it has: forward, sample"):
        sizes.narrowed(one, ["inverse"])
