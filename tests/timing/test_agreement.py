"""Agreement before any ratio: what is compared, with what, and how far apart it may be."""

import math

import pytest
import torch
from support.families import specs
from support.timed import case_of

from nfbench.timing.contenders.contract import Work, inputs
from nfbench.timing.contenders.house import NFBENCH, REFERENCE
from nfbench.timing.measure.agreement import agreement, deviation, truth


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
